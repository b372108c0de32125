"""Tests the PyTorch reference: its encoder against torchvision's, its loss and update against loops."""

import math
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "pytorch"))

import torch  # noqa: E402
import torchvision  # noqa: E402
from simclr_torch import Lars, SimClr, contrastive_loss, learning_rate, nt_xent  # noqa: E402


class Reference(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(3)

    def test_encoder_equals_torchvisions(self):
        for name in ("resnet18", "resnet50"):
            ours, theirs = SimClr(name).eval(), getattr(torchvision.models, name)().eval()
            self.assertEqual(ours.load_state_dict(theirs.state_dict(), strict=False)[1],
                             ["fc.weight", "fc.bias"])
            theirs.fc = torch.nn.Identity()
            images = torch.rand(2, 3, 64, 64)
            torch.testing.assert_close(ours.features(images), theirs(images))

    def test_loss_equals_a_double_loop(self):
        count, temperature = 5, 0.3
        z = torch.randn(2 * count, 7, dtype=torch.float64)

        def similarity(i, j):
            return float(z[i] @ z[j] / (z[i].norm() * z[j].norm())) / temperature

        total = 0.0
        for i in range(2 * count):
            partner = i + count if i < count else i - count
            others = sum(math.exp(similarity(i, k)) for k in range(2 * count) if k != i)
            total -= math.log(math.exp(similarity(i, partner)) / others)
        self.assertAlmostEqual(nt_xent(z, temperature).item(), total / (2 * count), places=12)

    def test_family_equals_double_loops(self):
        count, temperature, margin = 4, 0.3, 0.7
        z = torch.randn(2 * count, 6, dtype=torch.float64)
        for negatives in ("both", "one"):
            for normalize in ("on", "off"):
                u = z / z.norm(dim=1, keepdim=True) if normalize == "on" else z
                totals = dict.fromkeys(("nt-xent", "dcl", "nt-logistic", "margin"), 0.0)
                for i in range(2 * count):
                    partner = (i + count) % (2 * count)
                    others = [j for j in range(2 * count) if j not in (i, partner)
                              and (negatives == "both" or (j < count) != (i < count))]
                    positive, s = float(u[i] @ u[partner]), [float(u[i] @ u[j]) for j in others]
                    exponentials = sum(math.exp(value / temperature) for value in s)
                    totals["nt-xent"] += math.log(exponentials + math.exp(positive / temperature)) - positive / temperature
                    totals["dcl"] += math.log(exponentials) - positive / temperature
                    totals["nt-logistic"] += math.log1p(math.exp(-positive / temperature)) + sum(
                        math.log1p(math.exp(value / temperature)) for value in s) / len(s)
                    totals["margin"] += sum(max(value - positive + margin, 0) for value in s) / len(s)
                for loss, total in totals.items():
                    with self.subTest(loss=loss, negatives=negatives, normalize=normalize):
                        got = contrastive_loss(z, loss, temperature, negatives, margin, normalize)
                        self.assertAlmostEqual(got.item(), total / (2 * count), places=11)

    def test_semi_hard_losses_equal_double_loops(self):
        count, temperature, margin = 6, 0.3, 0.4
        u = torch.nn.functional.normalize(torch.randn(2 * count, 3, dtype=torch.float64), dim=1)
        for negatives in ("both", "one"):
            logistic = hinge = 0.0
            without = 0
            for i in range(2 * count):
                partner = (i + count) % (2 * count)
                positive = float(u[i] @ u[partner])
                farther = [float(u[i] @ u[j]) for j in range(2 * count) if j not in (i, partner)
                           and (negatives == "both" or (j < count) != (i < count)) and u[i] @ u[j] < positive]
                logistic += math.log1p(math.exp(-positive / temperature))
                if farther:
                    logistic += math.log1p(math.exp(max(farther) / temperature))
                if farther and max(farther) > positive - margin:
                    hinge += max(farther) - positive + margin
                else:
                    without += 1
            self.assertTrue(0 < without < 2 * count)
            for loss, total in (("nt-logistic", logistic), ("margin", hinge)):
                with self.subTest(loss=loss, negatives=negatives):
                    got = contrastive_loss(u, loss, temperature, negatives, margin, semi_hard="on")
                    self.assertAlmostEqual(got.item(), total / (2 * count), places=11)

    def test_supcon_equals_double_loops(self):
        labels, temperature = torch.tensor([4, 1, 4, 0]), 0.3
        u = torch.nn.functional.normalize(torch.randn(8, 5, dtype=torch.float64), dim=1)
        total = 0.0
        for i in range(8):
            logits = {j: float(u[i] @ u[j]) / temperature for j in range(8) if j != i}
            positives = [logit for j, logit in logits.items() if labels[j % 4] == labels[i % 4]]
            total += math.log(sum(map(math.exp, logits.values()))) - sum(positives) / len(positives)
        got = contrastive_loss(u, "supcon", temperature, labels=labels)
        self.assertAlmostEqual(got.item(), total / 8, places=11)

    def test_lars_matrix_and_vector(self):
        matrix = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
        vector = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
        optimizer = Lars([matrix, vector], momentum=0.5, weight_decay=0.1)
        for _ in range(2):
            matrix.grad, vector.grad = torch.tensor([[0.7, 0.6]], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
            before = matrix.detach().clone()
            optimizer.step(10.0)
        # Computes the second step by hand, with |w| and g at its start and half of the first velocity.
        first = 10 * 0.001 * 5 / math.sqrt(2) * torch.tensor([[1.0, 1.0]], dtype=torch.float64)
        g = torch.tensor([[0.7, 0.6]], dtype=torch.float64) + 0.1 * before
        second = 0.5 * first + 10 * 0.001 * before.norm() / g.norm() * g
        torch.testing.assert_close(matrix.detach(), before - second)
        self.assertAlmostEqual(vector.item(), 2 - 10 - (5 + 10))

    def test_schedule(self):
        self.assertEqual([learning_rate(s, 8.0, 4, 12) for s in (0, 1, 4)], [0.0, 2.0, 8.0])
        self.assertAlmostEqual(learning_rate(8, 8.0, 4, 12), 4.0)


if __name__ == "__main__":
    unittest.main()
