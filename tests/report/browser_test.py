"""report.html in a real browser: it draws the data of the run's files on any screen, without errors.

usage: browser_test.py SIMCLR [unittest arguments]
"""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

from browser import Browser

SIMCLR = sys.argv[1]
CHROMIUM = shutil.which("chromium")
BATCH = 256
PHASES = ("forward", "backward", "update", "data", "checkpoint")
HOSTILE = "</script><script>stolen = 1</script><img src=x onerror='stolen = 2'> \"\\ &lt; \u00e9\u4e2d"
SCREENS = ((1200, "light"), (1200, "dark"), (400, "light"))

# Returns the contents of each visible chart.
CHARTS = """[...document.querySelectorAll("figure")].filter(node => !node.hidden).map(node => {
  const svg = node.querySelector("svg"), view = svg.viewBox.baseVal, frame = node.getBoundingClientRect();
  const inside = ({left, right}) => left >= frame.left - 0.5 && right <= frame.right + 0.5;
  const points = path => path.getAttribute("d").slice(1).replace("Z", "").split(" ").map(point => point.split(",").map(Number));
  const paths = name => [...svg.querySelectorAll("path." + name)].map(points);
  const named = attribute => svg.getAttribute(attribute).split(" ").map(id => document.getElementById(id).textContent).join(" ");
  const shapes = [...svg.querySelectorAll("path, line, circle, text")];
  return {
    title: named("aria-labelledby"), summary: named("aria-describedby"), role: svg.getAttribute("role"),
    curves: paths("curve:not(.faint)"), faint: paths("faint"), layers: paths("layer"), bands: paths("band"),
    dots: svg.querySelectorAll("circle").length, legend: [...node.querySelectorAll(".legend .named")].map(n => n.textContent),
    marks: [...svg.querySelectorAll("line.mark")].map(n => n.x1.baseVal.value),
    levels: [...svg.querySelectorAll("line.level")].map(n => n.y1.baseVal.value),
    left: Math.min(...shapes.map(n => n.getBBox().x)), right: Math.max(...shapes.map(n => n.getBBox().x + n.getBBox().width)) - view.width,
    inside: inside(svg.getBoundingClientRect()), markup: svg.outerHTML,
  };
})"""


def usual_row(number, **changed):
    seconds = {f"seconds_{phase}": 0.01 * (i + 1) for i, phase in enumerate(PHASES)}
    return {"step": number, "epoch": number / 40, "restarts": 0, "loss": 3 + 3 / number, "contrastive_top1": 0.2 - 0.1 / number,
            "entropy": 2.0, "learning_rate": 0.1, "images_per_second": 900.0, "seconds_step": 0.2, **seconds,
            "seconds_read": 0.02, "bytes_read": 4e6, "bytes_fetched": 0, **changed}


class BrowserTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-browser-"))
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.browser = Browser(CHROMIUM, cls.top)
        cls.addClassCleanup(cls.browser.close)
        (cls.top / "data").mkdir()
        with h5py.File(cls.top / "data" / "d-00000-of-00001.h5", "w") as file:
            file["images"] = np.random.default_rng(1).integers(0, 256, (300, 16, 16, 3), np.uint8)

    def make_run(self, rows, name="run", options=(), top1=(0.8, 0.6)):
        """Writes a run directory like `pretrain`, with evaluations of the last step and of step 0."""
        run = Path(tempfile.mkdtemp(dir=self.top)) / "runs" / name.replace("/", "\u2044")
        (run / "eval").mkdir(parents=True)
        chosen = {"data": self.top / "data", "image-size": 16, "encoder": "resnet18", "batch-size": BATCH, "epochs": 4, **dict(options)}
        (run / "config.cfg").write_text("[pretrain]\n" + "".join(f"{n} = {v}\n" for n, v in chosen.items()))
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        step = rows[-1]["step"] if rows else 0
        (run / "state.json").write_text(json.dumps({"status": "stopped-early", "reason": name, "step": step, "restarts": 1}))
        rank = {"host": name, "description": "CPU", "threads": 1}
        (run / "environment.json").write_text(json.dumps({
            "version": "1", "git_commit": "abc", "compiler": name, "ranks": [rank], "libraries": {"mpi": "m", "hdf5": "h", "compute": "c"}}))
        for at, accuracy in zip((step, 0), top1):
            (run / "eval" / f"knn-{at}.json").write_text(json.dumps({
                "protocol": "knn", "test_data": name, "checkpoint": f"step-{at}.h5", "step": at, "samples": 10, "top1": accuracy, "top5": 1}))
        return run

    def open(self, *runs, width=1200, scheme="light", media="screen"):
        """Opens the page of these runs, checks what must hold for any page, and returns its charts."""
        page = self.top / "page.html"
        if runs:
            subprocess.run([SIMCLR, "report", *runs, "--output", page], check=True, capture_output=True)
        self.browser.open(page, width, scheme, media)
        return self.charts(width)

    def charts(self, width=1200):
        charts = self.browser.evaluate(CHARTS)
        self.assertEqual(self.browser.errors, [])
        self.assertEqual(self.browser.evaluate("document.querySelector('.errors')"), None)
        own = (self.top / "page.html").as_uri()
        self.assertEqual([url for url in self.browser.requests if not url.startswith("data:image/png;")], [own])
        self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
        for chart in charts:
            name = chart["title"]
            self.assertTrue(chart["curves"] or chart["layers"], name)
            self.assertNotRegex(chart["markup"], "NaN|Infinity|undefined|null", name)
            self.assertTrue(chart["inside"], name)
            self.assertGreaterEqual(chart["left"], -1, name)
            self.assertLessEqual(chart["right"], 1, name)
            points = [p for kind in ("curves", "faint", "layers", "bands") for path in chart[kind] for p in path]
            self.assertTrue(all(50 <= x <= width and 10 <= y <= 210 for x, y in points), name)
            self.assertEqual((chart["role"], bool(chart["summary"])), ("img", True), name)
        return {chart["title"]: chart for chart in charts}

    def text(self, selector):
        return self.browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(node => node.textContent)")

    def set_control(self, label, value):
        self.browser.evaluate(f"""(() => {{
          const [input] = [...document.querySelectorAll("form label")].filter(node => node.textContent.startsWith({json.dumps(label)})).map(node => node.control);
          if (input.type === "range") input.value = {json.dumps(value)}; else input.checked = {json.dumps(value)};
          input.dispatchEvent(new Event("input"));
        }})()""")

    def assert_linear(self, values, heights, sign=-1):
        """Checks that the drawing places the values on one linear scale."""
        slope, offset = np.polyfit(values, heights, 1)
        self.assertLess(np.abs(slope * np.array(values) + offset - np.array(heights)).max(), 0.1)
        self.assertGreater(sign * slope, 0)
        return slope, offset

    def test_shows_the_run_on_any_screen(self):
        rows = [usual_row(step, restarts=int(step > 30), z_std=0.08, other_number=2.0) for step in range(2, 61, 2)]
        rows[4]["loss"] = None
        rows[-1]["knn_top1"] = 0.7
        run = self.make_run(rows)
        for width, scheme in SCREENS:
            charts = self.open(run, width=width, scheme=scheme)
            self.assertEqual(list(charts), [
                "Loss", "Contrastive top-1, %", "Entropy, nats", "Standard deviation of z/|z|", "Nearest-neighbor top-1, %", "Learning rate", "Throughput, images/s", "Time of a step, s",
                "Fetching a step's data, s", "Data moved between rows, MB", "other number"])
            background = self.browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            self.assertEqual(max(background) < 60, scheme == "dark", background)
        loss = charts["Loss"]
        good = [row for row in rows if row["loss"] is not None]
        (points,) = loss["curves"]
        slope, offset = self.assert_linear([row["loss"] for row in good], [y for _, y in points])
        self.assertAlmostEqual(loss["levels"][0], slope * math.log(2 * BATCH - 1) + offset, delta=0.1)
        slope, offset = self.assert_linear([row["step"] for row in good], [x for x, _ in points], sign=1)
        self.assertAlmostEqual(loss["marks"][0], slope * 31 + offset, delta=0.1)
        self.assertIn("Restarted (dotted) at step 31.", loss["summary"])
        self.assertIn("Steps 2 to 60, at the end: 3.05. Least 3.05, greatest 4.5.", loss["summary"])
        self.assertEqual((charts["Nearest-neighbor top-1, %"]["dots"], charts["Loss"]["dots"]), (1, 0))
        self.assertEqual(self.text(".tiles b"), ["3.05", "19.83 %", "70 %", "1.5 of 4", "12.0 s", "80.00 %"])
        self.assertEqual(self.text("h1"), ["run"])
        self.assertEqual(self.text("header p"), ["Step 60: run; restarts: 1"])
        self.assertEqual(self.text("#evaluation td")[:5], ["knn", "80.00 %", "60.00 %", "100.00 %", "10"])
        self.assertIn("resnet18", self.text("#configuration dd"))
        self.assertIn("abc", self.text("#environment dd"))
        self.assertGreater(self.browser.evaluate("document.images[0].naturalWidth"), 300)

    def test_layers_add_up_to_the_time_of_a_step(self):
        rows = [usual_row(step, seconds_step=0.2 + 0.01 * step) for step in range(1, 11)]
        chart = self.open(self.make_run(rows))["Time of a step, s"]
        self.assertEqual(chart["legend"], ["forward", "backward", "update", "waiting for data", "checkpoint", "other"])
        highs = [[y for _, y in layer[:10]] for layer in chart["layers"]]
        lows = [[y for _, y in layer[:9:-1]] for layer in chart["layers"]]
        self.assertEqual(highs[:-1], lows[1:])
        self.assertEqual(lows[0], 10 * [210])
        slope, offset = self.assert_linear([row["seconds_step"] for row in rows], highs[-1])
        for layer, seconds in enumerate(np.cumsum([0.01, 0.02, 0.03, 0.04, 0.05])):
            self.assertAlmostEqual(highs[layer][0], slope * seconds + offset, delta=0.2)
        # On a GPU a step has no phases. A slow first step must not flatten the others.
        for row in rows:
            for phase in ("forward", "backward", "update"):
                del row[f"seconds_{phase}"]
        rows[0]["seconds_step"] = 50
        rows += [{**rows[-1], "step": step} for step in range(11, 31)]
        chart = self.open(self.make_run(rows))["Time of a step, s"]
        self.assertEqual(chart["legend"], ["waiting for data", "checkpoint", "computing"])
        self.assertLess(chart["layers"][-1][5][1], 160)

    def test_draws_a_single_row_and_says_when_there_is_none(self):
        for width, scheme in SCREENS:
            charts = self.open(self.make_run([usual_row(1)]), width=width, scheme=scheme)
            self.assertEqual(len(charts), 8)
            self.assertTrue(all(chart["dots"] or chart["layers"] for chart in charts.values()))
            self.assertTrue(charts["Loss"]["summary"].startswith("Step 1: 6."), charts["Loss"]["summary"])
            empty = self.make_run([])
            (empty / "eval" / "broken.json").write_text("{")
            self.assertEqual(self.open(empty, width=width, scheme=scheme), {})
            self.assertEqual(self.text("#curves .note"), ["No step has been logged yet."])
            self.assertEqual(self.text("main > .note"), ["run: broken.json cannot be read and is left out."])

    def test_a_long_run_keeps_its_peaks(self):
        rows = [usual_row(step, loss=4 + (20 if step == 54321 else 0) + 0.1 * (step % 7)) for step in range(1, 100001)]
        run = self.make_run(rows)
        for width, scheme in SCREENS:
            start = time.monotonic()
            charts = self.open(run, width=width, scheme=scheme)
            print(f"100,000 rows, {width} px, {scheme}: {time.monotonic() - start:.1f} s", file=sys.stderr)
            (band,) = charts["Loss"]["bands"]
            highest = min(band, key=lambda point: point[1])
            left, right = band[0][0], band[999][0]
            self.assertLess(highest[1], 60)  # the value 24 on an axis from 0 to 25
            self.assertAlmostEqual(highest[0], left + (right - left) * 0.543, delta=2)
            self.assertLessEqual(len(charts["Loss"]["curves"][0]), 1000)
        self.assertLess((self.top / "page.html").stat().st_size, 3_000_000)

    def test_shows_names_as_text_and_never_as_markup(self):
        columns = {HOSTILE: 1.0, "__proto__": 2.0, "constructor": 3.0}
        rows = [usual_row(1, **columns), usual_row(2, **columns)]
        run = self.make_run(rows, name=HOSTILE)
        twin = self.make_run(rows, name=HOSTILE + "2")
        for runs in ([run], [run, twin]):
            for width, scheme in SCREENS:
                charts = self.open(*runs, width=width, scheme=scheme)
                for name in columns:
                    self.assertIn(name.replace("_", " "), charts)
                self.assertEqual(self.browser.evaluate("typeof stolen"), "undefined")
                self.assertEqual(self.browser.evaluate("document.scripts.length"), 2)
                self.assertEqual(self.browser.evaluate("document.images.length"), 2 - len(runs))
                self.assertIn(HOSTILE, self.text("#evaluation td"))
                self.assertIn(HOSTILE, self.text("#environment dd, #environment td"))
        self.assertEqual(self.browser.evaluate("document.title"), ", ".join(run.name for run in (run, twin)))

    def test_smooths_curves_and_draws_logarithmic_axes(self):
        rows = [usual_row(10 ** (i % 4), loss=10.0 ** i, learning_rate=0) for i in range(4)]
        rows += [usual_row(1000 + i, loss=1000.0 + 500 * (-1) ** i) for i in range(1, 100)]
        self.open(self.make_run(rows))
        self.set_control("Logarithmic steps", True)
        self.set_control("Logarithmic values", True)
        charts = self.charts()
        (points,) = charts["Loss"]["curves"]
        self.assert_linear([0, 1, 2, 3], [y for _, y in points[:4]])
        self.assert_linear([0, 1, 2, 3], [x for x, _ in points[:4]], sign=1)
        self.assertLess(len(charts["Learning rate"]["curves"][0]), len(points))  # a logarithmic axis has no zeros
        self.set_control("Logarithmic steps", False)
        self.set_control("Logarithmic values", False)
        before, = self.charts()["Loss"]["curves"]
        self.set_control("Smoothing", 0.9)
        chart = self.charts()["Loss"]
        after, = chart["curves"]
        self.assertEqual(chart["faint"], [before])
        jitter = [np.abs(np.diff([y for _, y in points[10:]])).mean() for points in (before, after)]
        self.assertLess(jitter[1], jitter[0] / 5)
        self.set_control("Smoothing", 0)
        self.assertEqual(self.charts()["Loss"]["curves"], [before])
        # An axis without values above zero stays linear.
        self.open(self.make_run([usual_row(1, step=0, loss=-1.0)]))
        self.set_control("Logarithmic steps", True)
        self.set_control("Logarithmic values", True)
        self.assertIn("Loss", self.charts())

    def test_numbers_are_short_on_axes(self):
        self.open(self.make_run([usual_row(1)]))
        self.assertEqual(self.browser.evaluate("[0, -2.5, 1250, 12500, 2.5e6, 3e9, 4e12, 0.001, -0.0003].map(tickText)"),
                         ["0", "-2.5", "1250", "12.5k", "2.5M", "3G", "4e+12", "0.001", "-3e-4"])
        self.assertEqual(self.browser.evaluate("[3.14159265, 1234567].map(value => digits(value, 6))"), ["3.14159", "1234570"])

    def test_shows_the_values_at_the_pointer(self):
        self.open(self.make_run([usual_row(step) for step in range(1, 41)]))
        box = self.browser.evaluate("document.querySelector('figure svg').getBoundingClientRect().toJSON()")
        self.browser.point_at(box["x"] + 50 + (box["width"] - 68) * 9.1 / 39, box["y"] + 80)
        self.assertEqual(self.text(".tip"), ["step 10loss 3.3"])
        self.charts()
        self.browser.point_at(2, 2)
        self.assertEqual(self.text(".tip"), [])

    def test_draws_several_runs_over_each_other(self):
        first = self.make_run([usual_row(step) for step in range(1, 21)], "first", {"learning-rate": 0.5})
        second = self.make_run([usual_row(step, loss=5.0) for step in range(1, 11)], "second", top1=(0.7, 0.5))
        for width, scheme in SCREENS:
            charts = self.open(first, second, width=width, scheme=scheme)
            loss = charts["Loss"]
            self.assertEqual([len(curve) for curve in loss["curves"]], [20, 10])
            self.assertEqual(loss["legend"], ["first", "second"])
            self.assertEqual(len(loss["levels"]), 1)
            self.assertEqual(charts["Fetching a step's data, s"]["legend"],
                             ["first: reading thread", "first: waiting", "second: reading thread", "second: waiting"])
            self.assertIn("Time of a step: second, s", charts)
        self.assertEqual(self.text("h1"), ["2 runs"])
        self.assertEqual(self.text("header + .card tbody td:first-child"), ["first", "second"])
        self.assertEqual(self.text("#evaluation td:nth-child(3)"), ["80.00 %", "60.00 %", "70.00 %", "50.00 %"])
        self.assertEqual(self.text("#configuration > .card > .scroll b"), ["Learning rate"])  # the only fact that differs
        self.assertEqual(self.text("#pairs"), [])
        self.set_control("first", False)
        charts = self.charts(400)
        self.assertEqual([len(curve) for curve in charts["Loss"]["curves"]], [10])
        self.assertNotIn("Time of a step: first, s", charts)
        self.set_control("second", False)
        self.assertEqual(self.charts(400), {})

    def test_shows_the_accuracy_of_each_class(self):
        run = self.make_run([usual_row(1)])
        self.open(run)
        self.assertEqual(self.text("#evaluation details"), [])
        for path, per_class, names in ((run / "eval" / "knn-1.json", [0.5, None], ["cat", HOSTILE]), (run / "eval" / "knn-0.json", [0.25, 1, 0], [])):
            path.write_text(json.dumps({**json.loads(path.read_text()), "per_class_accuracy": per_class, "class_names": names}))
        self.open(run)
        self.assertEqual(self.text("#evaluation details th"), ["Class", "knn-1", "knn-0"])
        self.assertEqual(self.text("#evaluation details td"), ["cat", "50.00 %", "25.00 %", HOSTILE, "\u2013", "100.00 %", "2", "\u2013", "0.00 %"])

    def test_shows_the_quality_of_features(self):
        run = self.make_run([usual_row(1)], top1=())
        (run / "eval" / "quality-1.json").write_text(json.dumps({
            "protocol": "quality", "feature_std": 0.0625, "uniformity": -2.5, "alignment": None, "rankme_h": 12.25, "rankme_z": 8, "samples": 10,
            "data": HOSTILE, "checkpoint": "step-1.h5", "step": 1}))
        self.open(run)
        self.assertEqual(self.text("#evaluation td"), ["0.0625", "-2.5", "\u2013", "12.25", "8", "10", HOSTILE, "step-1.h5", "quality-1"])

    def test_print_is_light_and_complete(self):
        self.open(self.make_run([usual_row(1), usual_row(2)]), scheme="dark", media="print")
        self.assertEqual(self.browser.evaluate("getComputedStyle(document.querySelector('form')).display"), "none")
        self.assertEqual(self.browser.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor"), "rgb(255, 255, 255)")
        self.assertGreater(len(self.browser.call("Page.printToPDF")["data"]), 10000)
        self.assertTrue(self.browser.evaluate("document.querySelector('details').open"))

    def test_shows_script_errors_in_the_page(self):
        page = self.top / "page.html"
        self.open(self.make_run([usual_row(1)]))
        page.write_text(page.read_text().replace('"evaluations":', '"evaluation":'))
        self.browser.open(page, 1200)
        self.assertIn("cannot show everything", self.text(".errors")[0])
        self.assertEqual(len(self.browser.errors), 1)


if __name__ == "__main__":
    if CHROMIUM is None:
        print("skipped: chromium is not installed (scripts/install_deps.sh --all installs it)")
        sys.exit(77)
    os.environ["OMP_WAIT_POLICY"] = "passive"
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
