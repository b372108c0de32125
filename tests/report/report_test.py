"""The contents of report.html after a run, restarts and evaluations, and when files are missing.

Reads the data in the page; browser_test.py tests how a browser shows them.

usage: report_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import base64
import io
import json
import math
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "train"))
from training_runs import BATCH, OPTIONS, SIMCLR, TrainingTest, main  # noqa: E402


class Page(HTMLParser):
    """The tags and the data of a page."""

    def __init__(self, file):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(file.read_text(encoding="utf-8"))
        self.close()
        self.data = json.loads(self.text_of("script", id="data"))
        self.runs = self.data["runs"]
        self.run = self.runs[0]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data

    def text_of(self, tag, **attributes):
        found, = [text for (t, a), text in zip(self.tags, self.texts) if t == tag and a.items() >= attributes.items()]
        return found

    def values(self, column):
        return self.run["columns"][column]["values"]


class ReportTest(TrainingTest):
    def page(self, file=None):
        return Page(file or self.run_dir / "report.html")

    def report(self, *arguments, expect=0, cwd=None, **environment):
        done = subprocess.run([SIMCLR, "report", *arguments], capture_output=True, text=True, errors="replace", check=False,
                              cwd=cwd, env={**os.environ, **environment})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def evaluate(self, checkpoint, *arguments):
        subprocess.run([SIMCLR, "knn", "--checkpoint", checkpoint, "--train-data", self.data, "--test-data", self.data,
                        "--neighbors", "5", *arguments], check=True, capture_output=True)

    def top1(self, step):
        return json.loads((self.run_dir / "eval" / f"knn-step-{step:010}.json").read_text())["top1"]

    def files(self):
        return {file: file.read_bytes() for file in self.run_dir.rglob("*") if file.is_file() and file.name != "report.html"}

    def test_a_page_has_all_data_of_the_run(self):
        self.run_dir = self.run_dir.parent / "<script>a & 'b' \"\\\u00e9"
        self.pretrain(2, max_steps=6, checkpoint_steps=0)
        self.pretrain(max_steps=12)
        for checkpoint in (self.checkpoint(0), self.run_dir):
            self.evaluate(checkpoint)
        page = self.page()

        # The page is self-contained.
        for tag, attributes in page.tags:
            self.assertNotIn(tag, ("link", "iframe", "object", "use", "a", "img"))
            self.assertFalse(attributes.keys() & {"src", "href", "srcset", "background", "data"}, (tag, attributes))
        self.assertEqual([tag for tag, _ in page.tags].count("script"), 2)
        source = (self.run_dir / "report.html").read_text()
        self.assertNotRegex(source, r"https?:|url\(|@import")
        policy, = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        self.assertTrue(policy.startswith("default-src 'none';"), policy)

        # The numbers are those of the run.
        rows, run = self.rows(), page.run
        self.assertEqual(run["name"], self.run_dir.name)
        self.assertEqual(run["step"], [row["step"] for row in rows])
        self.assertEqual({"step", *run["columns"]}, set().union(*rows))
        for column in run["columns"]:
            self.assertEqual(page.values(column), [row[column] for row in rows], column)
        self.assertEqual(run["state"], {"status": "finished", "reason": self.state()["reason"], "step": 12, "restarts": 1})
        self.assertEqual(run["restarts"], [{"number": 1, "step": 6}])
        level, = run["levels"]
        self.assertAlmostEqual(level.pop("value"), math.log(2 * BATCH - 1), delta=1e-12)
        self.assertEqual(level, {"column": "loss", "name": "chance, ln(2N - 1)"})
        self.assertAlmostEqual(run["seconds"], sum(row["seconds_step"] for row in rows), delta=1e-9)
        self.assertEqual((run["epochs"], run["unreadable"]), ("4", []))

        # Evaluations are listed newest first, with the result of the untrained encoder.
        self.assertEqual([(e["protocol"], e["checkpoint"], e["top1"], e["untrained_top1"]) for e in run["evaluations"]],
                         [("knn", "step-0000000012.h5", self.top1(12), self.top1(0)),
                          ("knn", "step-0000000000.h5", self.top1(0), None)])
        configuration, options, environment = (dict(run[key]) for key in ("configuration", "options", "environment"))
        self.assertEqual((configuration["Data"], configuration["Encoder"], configuration["Augmentation"]),
                         (str(self.data), "resnet18", "crop,flip,color"))
        self.assertEqual(options["log-every"], "1")
        recorded = json.loads((self.run_dir / "environment.json").read_text())
        self.assertEqual(environment["Commit"], recorded["git_commit"])
        self.assertIn(recorded["ranks"][0]["host"], environment["Hosts"])

        # The picture is the same as that of `preview`.
        preview = self.run_dir.parent / "pairs.png"
        subprocess.run([SIMCLR, "preview", "--config", self.run_dir / "config.cfg", "--output", preview,
                        "--samples", "12"], check=True, capture_output=True)
        pairs = page.data["pairs"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(pairs["png"], validate=True))))
        self.assertEqual(picture.shape, (22 + 4 * (96 + 22), 22 + 3 * (3 * 96 + 2 * 6 + 22), 3))
        self.assertEqual((pairs["height"], pairs["width"]), picture.shape[:2])
        self.assertTrue((picture == np.asarray(Image.open(preview))).all())

    def test_report_rewrites_the_page_without_mpi(self):
        self.pretrain(max_steps=2)
        broken = {"OMPI_MCA_pml": "none"}
        self.pretrain(expect=1, run_dir=self.run_dir.parent / "other", environment=broken)
        (self.run_dir / "report.html").unlink()
        before = self.files()
        elsewhere = self.run_dir.parent / "page.html"
        for arguments, file in (([self.run_dir], self.run_dir / "report.html"),
                                ([self.run_dir, "--output", elsewhere], elsewhere)):
            self.report(*arguments, **broken)
            self.assertEqual(len(self.page(file).values("loss")), 2)
        self.assertEqual(self.files(), before)

    def test_several_runs_share_a_page(self):
        other = self.run_dir.parent / "other"
        self.pretrain(max_steps=2)
        self.pretrain(max_steps=3, run_dir=other, learning_rate=0.2, schedule_steps=7)
        done = self.report(self.run_dir, other, cwd=self.run_dir.parent)
        self.assertIn("wrote report.html", done.stdout + done.stderr)
        page = self.page(self.run_dir.parent / "report.html")
        self.assertEqual([run["name"] for run in page.runs], ["run", "other"])
        self.assertEqual([run["columns"]["loss"]["values"] for run in page.runs], [self.losses(), self.losses(other)])
        self.assertEqual([dict(run["options"])["learning-rate"] for run in page.runs], ["0.1", "0.2"])
        self.assertEqual([run["epochs"] for run in page.runs], [str(OPTIONS["epochs"]), ""])
        self.assertEqual([dict(run["configuration"]).get("Steps") for run in page.runs], [None, "7"])
        self.assertNotIn("pairs", page.data)
        # Directories of the same name are shown with their paths.
        twin = self.run_dir.parent / "twin" / "run"
        shutil.copytree(self.run_dir, twin)
        output = self.run_dir.parent / "twins.html"
        self.report(self.run_dir, twin, "--output", output)
        self.assertEqual([run["name"] for run in self.page(output).runs], [str(self.run_dir), str(twin)])
        # A page replaces no other file.
        stored = (self.run_dir / "config.cfg").read_bytes()
        self.report(self.run_dir, "--output", self.run_dir / "config.cfg", expect=2)
        self.assertEqual((self.run_dir / "config.cfg").read_bytes(), stored)
        # A directory without a run is refused, and no page is written.
        output.unlink()
        self.report(self.run_dir, twin.parent, "--output", output, expect=2)
        self.assertFalse(output.exists())

    def test_leaves_out_missing_and_damaged_files(self):
        data = self.run_dir.parent / "data"
        shutil.copytree(self.data, data)
        self.pretrain(max_steps=3, data=data)
        shutil.rmtree(data)
        metrics = self.run_dir / "metrics.jsonl"
        lines = metrics.read_text().splitlines()
        (self.run_dir / "eval").mkdir()
        (self.run_dir / "eval" / "knn.json").write_text('{"protocol": "kn')
        for text, points in ((lines[0] + "\n" + lines[1][:30], 1), ("", 0), (None, 0)):
            if text is None:
                for name in ("metrics.jsonl", "state.json", "environment.json"):
                    (self.run_dir / name).unlink()
            else:
                metrics.write_text(text)
            self.report(self.run_dir)
            page = self.page()
            self.assertEqual(len(page.run["step"]), points)
            self.assertEqual("loss" in page.run["columns"], points > 0)
            self.assertEqual(page.data["pairs"].keys(), {"note"})
            self.assertIn("the data set cannot be read", page.data["pairs"]["note"])
            self.assertEqual((page.run["evaluations"], page.run["unreadable"]), ([], ["knn.json"]))
            self.assertEqual((page.run["state"]["status"], page.run["environment"] == []),
                             ("" if text is None else "finished", text is None))

    def test_replaces_bytes_of_names_that_are_not_utf8(self):
        self.pretrain(max_steps=1)
        odd = os.fsencode(self.run_dir.parent) + b"/odd\xff"
        os.rename(self.run_dir, odd)
        self.report(odd)
        self.run_dir = Path(os.fsdecode(odd))
        self.assertEqual(self.page().run["name"], "odd\ufffd")

    def test_a_failed_run_has_a_page(self):
        self.pretrain(2, expect=1, optimizer="sgd", learning_rate=1e30, warmup_epochs=0)
        page = self.page()
        self.assertEqual(page.run["state"]["status"], "failed")
        self.assertEqual(len(page.values("loss")), 1)
        self.assertIn("the run failed", page.data["pairs"]["note"])

    def test_a_run_finishes_even_if_its_page_cannot_be_written(self):
        (self.run_dir / "report.html").mkdir(parents=True)
        done = self.pretrain(max_steps=1)
        self.assertIn("simclr: warning: cannot write report.html: ", done.stderr)
        self.assertEqual(self.state()["status"], "finished")

    def test_refusals(self):
        self.pretrain(max_steps=1)
        (self.run_dir / "report.html").unlink()
        empty = self.run_dir.parent / "empty"
        empty.mkdir()
        for arguments, part in (([empty], "holds no run"), ([], "option --run-dir: missing"),
                                ([self.run_dir / "config.cfg"], "holds no run"),
                                ([self.run_dir, "--output", empty / "none" / "r.html"], "--output")):
            done = self.report(*arguments, expect=2)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(part, done.stderr)
        (self.run_dir / "config.cfg").write_text("[pretrain]\nbatch-sise = 3\n")
        self.assertIn("batch-sise", self.report(self.run_dir, expect=2).stderr)
        self.assertFalse((self.run_dir / "report.html").exists())


if __name__ == "__main__":
    main()
