"""report.html from outside: what a page holds after a run, restarts and evaluations, and what it lacks.

usage: report_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import base64
import io
import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "train"))
from training_runs import SIMCLR, TrainingTest, main  # noqa: E402

VOID = {"meta", "img", "br", "line", "rect", "circle", "path", "input", "link"}


class Page(HTMLParser):
    """The parts of a page that tests look at; an unbalanced page is an error."""

    def __init__(self, file):
        super().__init__()
        self.open, self.tags, self.text = [], [], {}
        self.cells, self.tips, self.pictures = [], {}, []
        self.feed(file.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "img":
            self.pictures.append(attributes["src"])
        if tag == "tr":
            self.cells.append([])
        if tag not in VOID or (tag in ("line", "rect") and attributes.get("class") in ("mark", "tip")):
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        ids = [a["id"] for _, a in self.open if "id" in a]
        for name in ids:
            self.text[name] = self.text.get(name, "") + data
        if [tag for tag, _ in self.open[-2:]] == ["rect", "title"]:
            self.tips.setdefault(ids[-1], []).append(data)
        if self.open and self.open[-1][0] == "td":
            self.cells[-1].append(data)

    def find(self, tag, **attributes):
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in attributes.items())]


class ReportTest(TrainingTest):
    def page(self, file=None):
        return Page(file or self.run_dir / "report.html")

    def report(self, *arguments, expect=0, **environment):
        done = subprocess.run([SIMCLR, "report", *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, **environment})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def evaluate(self, checkpoint, *arguments):
        subprocess.run([SIMCLR, "knn", "--checkpoint", checkpoint, "--train-data", self.data, "--test-data", self.data,
                        "--neighbors", "5", *arguments], check=True, capture_output=True)

    def top1(self, step):
        result = json.loads((self.run_dir / "eval" / f"knn-step-{step:010}.json").read_text())
        return f"{100 * result['top1']:.2f} %"

    def decode(self, source):
        kind, data = source.split(",", 1)
        self.assertEqual(kind, "data:image/png;base64")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))

    def test_a_page_shows_the_run(self):
        self.run_dir = self.run_dir.parent / "<b>a & 'b'"
        self.pretrain(2, max_steps=6, checkpoint_steps=0)
        self.pretrain(max_steps=12)
        for checkpoint in (self.checkpoint(0), self.run_dir):
            self.evaluate(checkpoint)
        page = self.page()

        # It stands alone.
        for tag, attributes in page.tags:
            self.assertNotIn(tag, ("script", "link", "iframe", "object", "use", "a"))
            for name in ("src", "href", "srcset", "style", "background", "data"):
                self.assertRegex(attributes.get(name, "data:"), "^data:", (tag, name))
        source = (self.run_dir / "report.html").read_text()
        self.assertNotRegex(source, r"https?:|url\(|@import")

        # Everything is there, and named.
        self.assertEqual(page.text["loss-title"], "Loss")
        for section in ("curves", "evaluation", "pairs", "configuration", "environment"):
            self.assertIn(section, page.text)
        for chart in ("loss", "top1", "learning-rate", "throughput", "phases"):
            self.assertEqual(len(page.find("figure", id=chart)), 1, chart)
            self.assertTrue(page.find("svg", **{"aria-labelledby": f"{chart}-title"}), chart)
        for chart in ("loss-scale", "skipped"):
            self.assertFalse(page.find("figure", id=chart), chart)
        self.assertIn("finished", [a.get("class", "").removeprefix("status ") for a in page.find("span")])
        self.assertIn("<h1>&lt;b&gt;a &amp; &#39;b&#39;</h1>", source)

        # The numbers are the run's.
        rows = self.rows()
        self.assertEqual([row["restarts"] for row in rows], 6 * [0] + 6 * [1])
        shown = [tip.split("\n") for tip in page.tips["loss"]]
        self.assertEqual([int(step.removeprefix("step ")) for step, _ in shown], [row["step"] for row in rows])
        self.assert_close([float(loss.removeprefix("loss ")) for _, loss in shown], self.losses(), 1e-5)
        curve = next(a["d"] for a in page.find("path", **{"class": "curve s0"}))
        height = np.array([float(point.split(",")[1]) for point in curve[1:].split(" ")])
        slope, offset = np.polyfit(self.losses(), height, 1)
        self.assertLess(np.abs(slope * np.array(self.losses()) + offset - height).max(), 0.01)
        self.assertLess(slope, 0)
        chance, = [text for tag, text in page.text.items() if tag == "loss" and "chance" in text]
        self.assertIn("ln(2N-1)", chance)
        total = [sum(row[f"seconds_{p}"] for p in ("forward", "backward", "update", "data", "checkpoint"))
                 for row in rows]
        for tip, row, parts in zip(page.tips["phases"], rows, total):
            values = [float(line.split()[-2]) for line in tip.split("\n")[1:]]
            self.assertAlmostEqual(sum(values), max(row["seconds_step"], parts), delta=1e-4)
        self.assertEqual(len(page.find("line", **{"class": "mark"})), 7)  # a restart, in each chart

        # The evaluations, newest first, with the untrained encoder beside.
        table = [cells for cells in page.cells if cells]
        self.assertEqual([(row[0], row[6], row[1], row[2]) for row in table],
                         [("knn", "step-0000000012.h5", self.top1(12), self.top1(0)),
                          ("knn", "step-0000000000.h5", self.top1(0), "\u2013")])
        for text in (f"{self.data}", "resnet18", "crop,flip,color"):
            self.assertIn(text, page.text["configuration"])
        environment = json.loads((self.run_dir / "environment.json").read_text())
        for text in (environment["git_commit"], environment["ranks"][0]["host"]):
            self.assertIn(text, page.text["environment"])

        # The picture is what `preview` makes.
        preview = self.run_dir.parent / "pairs.png"
        subprocess.run([SIMCLR, "preview", "--config", self.run_dir / "config.cfg", "--output", preview,
                        "--samples", "12"], check=True, capture_output=True)
        picture = self.decode(page.pictures[0])
        self.assertEqual(len(page.pictures), 1)
        self.assertEqual(picture.shape, (22 + 4 * (96 + 22), 22 + 3 * (3 * 96 + 2 * 6 + 22), 3))
        self.assertTrue((picture == np.asarray(Image.open(preview))).all())

    def test_it_is_made_again_by_hand_and_without_mpi(self):
        self.pretrain(max_steps=2)
        broken = {"OMPI_MCA_pml": "none"}
        self.pretrain(expect=1, run_dir=self.run_dir.parent / "other", environment=broken)
        (self.run_dir / "report.html").unlink()
        elsewhere = self.run_dir.parent / "page.html"
        for arguments, file in (([self.run_dir], self.run_dir / "report.html"),
                                ([self.run_dir, "--output", elsewhere], elsewhere)):
            self.report(*arguments, **broken)
            self.assertEqual(len(self.page(file).tips["loss"]), 2)

    def test_what_is_not_there_is_left_out(self):
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
            self.assertEqual(len(page.tips.get("loss", [])), points)
            self.assertEqual("No step has been logged yet" in page.text["curves"], points == 0)
            self.assertEqual(page.pictures, [])
            self.assertIn("the data set cannot be read", page.text["pairs"])
            self.assertIn("None yet", page.text["evaluation"])
            self.assertIn("knn.json is there but cannot be read", (self.run_dir / "report.html").read_text())

    def test_a_run_on_gpus_shows_what_its_metrics_have(self):
        self.pretrain(max_steps=3)
        rows = self.rows()
        for row in rows:
            for phase in ("forward", "backward", "update"):
                del row[f"seconds_{phase}"]
            row.update(loss_scale=1024.0, skipped_steps=row["step"], seconds_read=0.5, bytes_read=3e6 * row["step"])
        (self.run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.report(self.run_dir)
        page = self.page()
        for chart, tip in (("loss-scale", "loss scale 1024"), ("skipped", "skipped 3"),
                           ("reading", "reading thread 0.5 s"), ("moved", "from files 9 MB")):
            self.assertIn(f"step 3\n{tip}", page.tips[chart][-1])
        names = [line.rsplit(" ", 2)[0] for line in page.tips["phases"][-1].split("\n")[1:]]
        self.assertEqual(names, ["waiting for data", "checkpoint", "computing"])

    def test_a_failed_run_has_a_page(self):
        self.pretrain(2, expect=1, optimizer="sgd", learning_rate=1e30, warmup_epochs=0)
        page = self.page()
        self.assertIn("failed", [a.get("class", "").removeprefix("status ") for a in page.find("span")])
        self.assertEqual(len(page.tips["loss"]), 1)
        self.assertIn("the run did not end well", page.text["pairs"])

    def test_a_page_that_cannot_be_written_does_not_fail_the_run(self):
        (self.run_dir / "report.html").mkdir(parents=True)
        done = self.pretrain(max_steps=1)
        self.assertIn("simclr: warning: no report.html: ", done.stderr)
        self.assertEqual(self.state()["status"], "finished")

    def test_refusals(self):
        self.pretrain(max_steps=1)
        (self.run_dir / "report.html").unlink()
        empty = self.run_dir.parent / "empty"
        empty.mkdir()
        for arguments, culprit in (([empty], "holds no run"), ([], "name a run directory"),
                                   ([self.run_dir / "config.cfg"], "holds no run"),
                                   ([self.run_dir, "--output", empty / "none" / "r.html"], "--output")):
            done = self.report(*arguments, expect=2)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(culprit, done.stderr)
        (self.run_dir / "config.cfg").write_text("[pretrain]\nbatch-sise = 3\n")
        self.assertIn("batch-sise", self.report(self.run_dir, expect=2).stderr)
        self.assertFalse((self.run_dir / "report.html").exists())


if __name__ == "__main__":
    main()
