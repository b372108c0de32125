"""study.html in a real browser: figures of one, two and three axes, published figures, missing cells, hostile names.

usage: page_browser_test.py SIMCLR [unittest arguments]
"""
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))
from browser import Browser  # noqa: E402

SIMCLR = sys.argv[1]
CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><script>stolen = 1</script><img src=x onerror='stolen = 2'>"
SCREENS = ((1200, "light"), (1200, "dark"), (400, "light"))

# Returns the contents of each figure.
FIGURES = """[...document.querySelectorAll("figure")].map(node => {
  const svg = node.querySelector("svg"), view = svg.viewBox.baseVal, count = name => svg.querySelectorAll(name).length;
  const shapes = [...svg.querySelectorAll("path, line, circle, text")].map(shape => shape.getBBox());
  return {
    title: node.querySelector("h3").textContent, summary: node.querySelector(".summary").textContent,
    bars: count("path.bar"), published: count("path.published"), curves: count("path.curve"), dots: count("circle"),
    errors: count("line.error"), heat: [...svg.querySelectorAll("text.heat")].map(text => text.textContent),
    strengths: [...svg.querySelectorAll("path.heat")].map(path => Number(path.style.fillOpacity)),
    heights: [...svg.querySelectorAll("circle")].map(circle => circle.cy.baseVal.value),
    legend: [...node.querySelectorAll(".legend .named")].map(named => named.textContent),
    left: Math.min(...shapes.map(({x}) => x)), right: Math.max(...shapes.map(({x, width}) => x + width)) - view.width,
    markup: svg.outerHTML,
  };
})"""


class StudyPageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = Path(tempfile.mkdtemp(prefix="simclr-study-page-"))
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.browser = Browser(CHROMIUM, cls.top)
        cls.addClassCleanup(cls.browser.close)

    def make_page(self, axes, value, study="", missing=()):
        """Makes a study with results that `value` gives for the texts of a cell's values, without running anything."""
        directory = Path(tempfile.mkdtemp(dir=self.top))
        (directory / "s.cfg").write_text(f"[study]\n{study}[axes]\n{axes}\n[knn]\ntrain-data = a\ntest-data = b\ncheckpoint = c\n")
        output = directory / "out"
        output.mkdir()
        shutil.copy(directory / "s.cfg", output / "study.cfg")
        subprocess.run([SIMCLR, "study", output, "--table"], check=True, capture_output=True)
        (output / "eval").mkdir()
        for cell in json.loads(self.data_of(output))["study"]["lines"]:
            places = cell["places"]
            for seed in (1, 2, 3) if "seed" in axes else (0,):
                if tuple(places) not in missing:
                    self.write_result(output, axes, places, seed, value(*places) + 0.01 * (seed - 2 if seed else 0))
        subprocess.run([SIMCLR, "study", output, "--table"], check=True, capture_output=True)
        return output / "study.html"

    @staticmethod
    def data_of(output):
        page = (output / "study.html").read_text(encoding="utf-8")
        return page.split('id="data">')[1].split("</script>")[0]

    @staticmethod
    def write_result(output, axes, places, seed, top1):
        parts = []
        for line, place in zip([line for line in axes.splitlines() if "seed" not in line], places):
            name, values = (text.strip() for text in line.split("=", 1))
            parts.append(f"{name.split('.')[1]}-{values.split(',')[place].strip()}")
        if seed:
            parts.append(f"seed-{seed}")
        file = output / "eval" / f"{'_'.join(['linear-eval' if 'linear-eval' in axes else 'knn', *parts])}.json"
        file.write_text(json.dumps({"protocol": "knn", "top1": top1, "top5": 0.9, "step": 1}))

    def figures(self, page, width=1200, scheme="light"):
        self.browser.open(page, width, scheme, "screen")
        figures = self.browser.evaluate(FIGURES)
        self.assertEqual(self.browser.errors, [])
        self.assertEqual(self.browser.evaluate("document.querySelector('.errors')"), None)
        self.assertEqual(list(self.browser.requests), [page.as_uri()])
        self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
        self.assertEqual(self.browser.evaluate("typeof stolen"), "undefined")
        for figure in figures:
            self.assertNotRegex(figure["markup"], "NaN|Infinity|undefined|null", figure["title"])
            self.assertGreaterEqual(figure["left"], -1, figure["title"])
            self.assertLessEqual(figure["right"], 1, figure["title"])
            self.assertTrue(figure["summary"], figure["title"])
        return figures

    def text(self, selector):
        return self.browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(node => node.textContent)")

    def test_numbers_make_lines_with_published_figures_beside(self):
        page = self.make_page("knn.temperature = 0.1, 0.2, 0.5", lambda t: (0.5, 0.7, 0.6)[t], f"name = {HOSTILE}\npaper = 60, -, 70\npaper-title = made up\n")
        for width, scheme in SCREENS:
            (figure,) = self.figures(page, width, scheme)
            self.assertEqual((figure["title"], figure["curves"], figure["dots"], figure["bars"]), ("knn.top1, %", 2, 5, 0))
            self.assertEqual(figure["legend"], ["knn.top1", "published"])
            ours = figure["heights"][:3]
            self.assertAlmostEqual((ours[0] - ours[2]) / (ours[0] - ours[1]), 0.5, places=2)
            self.assertAlmostEqual(figure["heights"][3], ours[2], delta=0.1)  # 60 % is published at 0.1 and found at 0.5
        self.assertEqual(self.text("h1"), [HOSTILE])
        self.assertIn("made up", self.text(".note")[0])
        self.assertEqual(self.text("tbody tr:first-child td")[:3], ["0.1", "50", "60"])

    def test_names_make_bars_with_deviations(self):
        page = self.make_page("linear-eval.protocol = cached, augmented\nlinear-eval.seed = 1, 2, 3".replace("cached, ", ""), lambda p: 0.5)
        (figure,) = self.figures(page)
        self.assertEqual((figure["bars"], figure["errors"], figure["curves"]), (1, 1, 0))
        self.assertEqual(self.text("tbody td")[1], "50 \u00b1 1")

    def test_two_axes_make_lines_and_a_heat_map(self):
        page = self.make_page("knn.temperature = 0.1, 0.2, 0.5\nknn.neighbors = 5, 10", lambda t, n: 0.5 + 0.1 * t + 0.01 * n, "paper = 1,2,3,4,5,6\npaper-title = x\n", missing={(2, 1)})
        for width, scheme in SCREENS:
            lines, ours, paper = self.figures(page, width, scheme)
            self.assertEqual((lines["curves"], lines["dots"]), (4, 11))
        self.assertEqual(lines["legend"], ["knn.neighbors 5", "knn.neighbors 10", "published: knn.neighbors 5", "published: knn.neighbors 10"])
        self.assertEqual(ours["heat"], ["50", "51", "60", "61", "70"])
        self.assertEqual(paper["heat"], ["1", "2", "3", "4", "5", "6"])
        self.assertEqual(ours["strengths"], sorted(ours["strengths"]))
        self.assertIn("Greatest: 70 at knn.temperature 0.5, knn.neighbors 5.", ours["summary"])
        self.assertEqual(self.text("#problems li"), ["knn.temperature-0.5_knn.neighbors-10, knn: not evaluated"])

    def test_three_axes_make_a_heat_map_for_each_value_of_the_third(self):
        page = self.make_page("knn.temperature = 0.1, 0.2\nknn.neighbors = 5, 10\nknn.feature-batch = 8, 16", lambda t, n, b: 0.5 + 0.1 * t + 0.01 * n + 0.2 * b)
        lines, *maps = self.figures(page)
        self.assertEqual((lines["curves"], len(maps)), (4, 2))
        self.assertEqual([figure["title"] for figure in maps], ["knn.top1, knn.feature-batch 8, %", "knn.top1, knn.feature-batch 16, %"])

    def test_another_metric_can_be_chosen(self):
        page = self.make_page("knn.temperature = 0.1, 0.2", lambda t: 0.5)
        self.figures(page)
        self.browser.evaluate("""(() => { const select = document.querySelector("select"); select.selectedIndex = 1;
          select.dispatchEvent(new Event("input")); })()""")
        self.assertEqual(self.text("h3"), ["knn.top5, %"])

    def test_a_study_without_results(self):
        page = self.make_page("knn.temperature = 0.1, 0.2", lambda t: 0.5, missing={(0,), (1,)})
        self.assertEqual(self.figures(page), [])
        self.assertIn("No cell has a result yet.", self.text(".note"))


if __name__ == "__main__":
    if not CHROMIUM:
        print("skipped: no chromium")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
