"""A run on 8, then 4, then 2 ranks has the samples, the views and the losses of a run on one rank.

usage: elastic_test.py SIMCLR [unittest arguments]
"""
import subprocess

import h5py
from slurm_case import OPTIONS, SIMCLR, SlurmTest, main

STEPS = 18
PLACES = ((4, 8, 6), (2, 4, 12), (1, 2, STEPS))  # nodes, ranks, last step
# At higher learning rates, rounding errors grow tenfold in a step or two, also on one rank.
STABLE = {"learning_rate": 0.02}


class ElasticTest(SlurmTest):
    def test_losses_on_fewer_nodes_at_every_restart_equal_those_of_one_rank(self):
        alone = self.directory / "alone"
        arguments = self.pretrain_arguments(run_dir=alone, max_steps=STEPS, **STABLE)
        subprocess.run([SIMCLR, "pretrain", *arguments], check=True, capture_output=True,
                       env=self.cluster.environment)
        for nodes, ranks, until in PLACES:
            self.finish(self.submit(f"--nodes={nodes}", max_steps=until, **STABLE))
            self.assertIn(f"{ranks} ranks on CPU", self.log.read_text())
        self.assertEqual([row["step"] for row in self.rows()], list(range(1, STEPS + 1)))
        apart = [abs(a - b) / b for a, b in zip(self.losses(), self.losses(alone), strict=True)]
        self.saw(f"losses differ by at most {max(apart):.1e} (relative) from one rank's")
        self.assertTrue(all(difference <= 1e-3 for difference in apart), apart)

    def test_every_number_of_ranks_has_the_same_samples_and_views(self):
        config = self.directory / "views.cfg"
        options = {"data": self.data, **OPTIONS}
        config.write_text("[pretrain]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()))
        preview = ["preview", f"--config={config}", f"--steps=0:{STEPS}"]
        dumps = [self.directory / "alone.h5"]
        subprocess.run([SIMCLR, *preview, f"--output={dumps[0]}"], check=True, capture_output=True,
                       env=self.cluster.environment)
        for nodes, ranks, _ in PLACES:
            dumps.append(self.directory / f"{ranks}.h5")
            done = self.cluster.run("srun", "--mpi=pmix", f"--nodes={nodes}", f"--ntasks={ranks}", SIMCLR, *preview,
                                    f"--output={dumps[-1]}", environment={"SLURM_PMIX_FENCE": "ring"},
                                    cwd=self.directory)
            self.assertEqual(done.returncode, 0, done.stderr)
        contents = []
        for dump in dumps:
            with h5py.File(dump) as f:
                contents.append((f["sample_index"][()].tobytes(), f["views"][()].tobytes()))
        self.assertEqual(len(contents[0][1]), STEPS * 2 * OPTIONS["batch-size"] * 16 * 16 * 3 * 4)
        for ranks, content in zip((8, 4, 2), contents[1:], strict=True):
            self.assertTrue(content == contents[0], f"{ranks} ranks")
        self.saw(f"{STEPS} batches of views are the same on 1, 2, 4 and 8 ranks, bit for bit")


if __name__ == "__main__":
    main()
