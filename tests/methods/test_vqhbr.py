"""VQ-HBR against figures of the published program and naive loops: names, costs, codebook, learning."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from heartlang_figures import GOLDEN, assert_figures, filled, golden_sentences, sentences
from torch import Tensor
from torch.nn import functional as F

from mibench.benchmark.costs import ptflops_macs, true_macs
from mibench.methods.vqhbr import VQHBR, NormEMAQuantizer, VQHBRConfig, cosine_kmeans, nearest

WORKER = Path(__file__).with_name("codebook_worker.py")
SIZE: dict[str, Any] = {"words": 12, "samples_per_word": 8, "width": 16, "encoder_layers": 2, "decoder_layers": 1}
SIZE |= {"heads": 2, "head_dim": 4, "mlp": 24, "codes": 10, "code_dim": 6}
TINY = VQHBRConfig(**SIZE)


@pytest.fixture(scope="module")
def golden() -> VQHBR:
    with torch.device("meta"):
        net = VQHBR(VQHBRConfig(attention="plain"))
    return filled(net)


def test_equals_the_published_program(golden: VQHBR) -> None:
    batch = golden_sentences()
    with torch.inference_mode():
        output, commitment, indices = golden.reconstruct(**batch)
        vectors = F.normalize(golden.encode(**batch), dim=-1)[0, :16].double()
    assert_figures(output.flatten(1), GOLDEN["vqhbr"]["recon"])
    assert commitment.item() == pytest.approx(GOLDEN["vqhbr"]["commit_loss"], abs=5e-6)
    # The golden codebook is so dense that float32 cannot tell an entry from many others: equally near must do.
    weight = golden.quantize.embedding.weight.double()
    distance = torch.cdist(vectors, weight).square()
    for chosen in (indices[0, :16], torch.tensor(GOLDEN["vqhbr"]["indices_row0_first16"])):
        assert (distance.gather(1, chosen[:, None])[:, 0] - distance.min(dim=1).values).max() < 2e-7
    assert abs(indices.unique().numel() - GOLDEN["vqhbr"]["n_unique"]) < 10


def test_costs(golden: VQHBR) -> None:
    batch = {name: value[:1] for name, value in golden_sentences().items()}
    golden.requires_grad_(True)
    assert ptflops_macs(golden, lambda: {"batch": batch}) == (6_052_502_540, 23_593_184)
    assert true_macs(lambda: golden(batch)) == 6_305_089_024


def test_tensors_are_named_and_shaped_as_in_the_published_file() -> None:
    with torch.device("meta"):
        net = VQHBR()
    state = net.state_dict()
    assert len(state) == 95
    once = ("mask_token", "cls_token", "pos_embed", "token_embed.tokenConv.weight", "spa_embed.embed.weight")
    once += ("tem_embed.embed.weight", "norm_layer.weight", "norm_layer.bias")
    layer = [f"0.{name}" for name in ("norm.weight", "norm.bias", "to_qkv.weight", "to_out.0.weight", "to_out.0.bias")]
    layer += [f"1.net.{index}.{kind}" for index in (0, 1, 4) for kind in ("weight", "bias")]
    names = {f"{part}.{name}" for part in ("encoder", "decoder") for name in once}
    names |= {f"encoder.transformer.layers.{index}.{name}" for index in range(4) for name in layer}
    names |= {f"decoder.transformer.layers.{index}.{name}" for index in range(2) for name in layer}
    names |= {
        f"{part}_task_layer.{index}.{kind}"
        for part in ("encode", "decode")
        for index in (0, 2)
        for kind in ("weight", "bias")
    }
    names |= {f"quantize.embedding.{name}" for name in ("weight", "cluster_size", "embed_avg", "initted")}
    assert set(state) == names | {"quantize.cluster_size"}
    shapes = {
        "encoder.token_embed.tokenConv.weight": (768, 96, 3),
        "decoder.token_embed.tokenConv.weight": (768, 128, 3),
        "encoder.transformer.layers.3.0.to_qkv.weight": (384, 768),
        "encoder.transformer.layers.0.1.net.1.weight": (2048, 768),
        "encode_task_layer.2.weight": (128, 768),
        "decode_task_layer.2.weight": (96, 768),
        "quantize.embedding.weight": (8192, 128),
        "quantize.embedding.initted": (1,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_parameters() -> None:
    with torch.device("meta"):
        net = VQHBR()
    learning = sum(parameter.numel() for parameter in net.parameters())
    codebook = (net.quantize.embedding.weight, net.quantize.embedding.cluster_size, net.quantize.embedding.embed_avg)
    assert learning == 23_593_184
    assert learning + sum(tensor.numel() for tensor in codebook) == 25_698_528


def test_the_codebook_follows_as_a_naive_loop_says() -> None:
    torch.manual_seed(0)
    config = VQHBRConfig(codes=7, code_dim=3, decay=0.9, kmeans_iterations=0)
    quantizer = NormEMAQuantizer(config).double().train()
    entries = quantizer.embedding.weight.tolist()
    usage = [0.0] * 7
    for _ in range(3):
        vectors = torch.randn(2, 5, 3, dtype=torch.float64)
        _, _, indices = quantizer(vectors)
        entries, usage, expected = _naive_step(entries, usage, vectors.flatten(0, 1).tolist(), 0.9)
        assert indices.flatten().tolist() == expected
        assert quantizer.embedding.weight.numpy() == pytest.approx(torch.tensor(entries).numpy(), abs=1e-6)
        assert quantizer.cluster_size.tolist() == pytest.approx(usage)


def test_entries_out_of_use_stay_where_they_are() -> None:
    quantizer = NormEMAQuantizer(VQHBRConfig(codes=4, code_dim=2, decay=0.5, kmeans_iterations=0)).train()
    quantizer.embedding.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    quantizer(torch.tensor([[2.0, 0.2], [2.0, -0.2], [2.0, 1.0]]))
    weight = quantizer.embedding.weight
    assert weight[1:].tolist() == [[0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]
    assert weight[0, 1] > 0
    assert weight.norm(dim=1).tolist() == pytest.approx([1.0] * 4)
    assert quantizer.cluster_size.tolist() == [1.5, 0.0, 0.0, 0.0]


def test_what_the_quantiser_gives_and_what_it_costs() -> None:
    quantizer = NormEMAQuantizer(VQHBRConfig(codes=5, code_dim=3, beta=0.25, kmeans_iterations=0)).eval()
    vectors = torch.randn(2, 4, 3, requires_grad=True)
    entries, loss, indices = quantizer(vectors)
    unit = F.normalize(vectors, dim=-1)
    assert entries.detach().numpy() == pytest.approx(quantizer.embedding.weight[indices].numpy(), abs=1e-6)
    assert loss.item() == pytest.approx(0.25 * (unit - quantizer.embedding.weight[indices]).square().mean().item())
    weights = torch.randn(2, 4, 3)
    (through,) = torch.autograd.grad((entries * weights).sum(), vectors, retain_graph=True)
    (direct,) = torch.autograd.grad((unit * weights).sum(), vectors)
    assert torch.allclose(through, direct), "the gradient passes the bottleneck as if it were not there"


def test_the_first_training_batch_becomes_the_codebook() -> None:
    torch.manual_seed(0)
    quantizer = NormEMAQuantizer(VQHBRConfig(codes=3, code_dim=4))
    directions = torch.eye(4)[:3]
    vectors = (directions.repeat(20, 1) + 0.05 * torch.randn(60, 4)) * 7
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer.eval()(vectors)
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantizer.state_dict().items())
    quantizer.train()(vectors)
    assert quantizer.embedding.initted.tolist() == [1.0]
    # Two of the three may have started in one cluster; what they found is a fixed point of k-means all the same.
    assert quantizer.embedding.cluster_size.sum() == 60
    again = quantizer.embedding.cluster_size.clone()
    quantizer(vectors)
    assert torch.equal(quantizer.embedding.cluster_size, again), "k-means ran once"


def test_kmeans_equals_a_naive_loop() -> None:
    torch.manual_seed(3)
    vectors = F.normalize(torch.randn(30, 3, dtype=torch.float64), dim=-1)
    torch.manual_seed(4)
    means, sizes = cosine_kmeans(vectors, 6, 10)
    torch.manual_seed(4)
    expected = vectors[torch.randperm(30)[:6]].tolist()
    counts = [0] * 6
    for _ in range(10):
        members: list[list[list[float]]] = [[] for _ in range(6)]
        for vector in vectors.tolist():
            members[max(range(6), key=lambda k: sum(a * b for a, b in zip(vector, expected[k], strict=True)))].append(
                vector
            )
        counts = [len(group) for group in members]
        expected = [_unit(_sum(group)) if group else mean for group, mean in zip(members, expected, strict=True)]
    assert means.numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=1e-6)
    assert sizes.tolist() == counts


def test_fewer_vectors_than_codes() -> None:
    means, sizes = cosine_kmeans(F.normalize(torch.randn(3, 4), dim=-1), 8, 2)
    assert means.shape == (8, 4)
    assert torch.isfinite(means).all()
    assert sizes.sum() == 3


def test_the_nearest_entry_of_any_length() -> None:
    vectors, entries = torch.randn(20, 3), torch.randn(9, 3)
    assert torch.equal(nearest(vectors, entries), torch.cdist(vectors, entries).argmin(dim=1))


def test_two_processes_follow_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    torch.manual_seed(5)
    vectors = torch.randn(40, 4)
    torch.save(vectors, tmp_path / "vectors.pt")
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), "2", str(tmp_path)], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    follow = _worker_follow()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]
    alone = follow("from random directions", vectors, 0)
    for rank in ranks:
        for name, tensor in alone.items():
            torch.testing.assert_close(rank["from random directions"][name], tensor)
    first, second = (rank["from the first batch"] for rank in ranks)
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert first["embedding.cluster_size"].sum() == 20, "clusters of what the first process saw"


def test_words_of_zeros_are_encoded_alike() -> None:
    torch.manual_seed(0)
    net = VQHBR(TINY).eval()
    batch = sentences(3, 12, 8)
    batch["words"][0, 4] = 0.0
    vectors = net.encode(**batch)
    silent = vectors[~batch["words"].any(dim=-1)]
    assert len(silent) > 12
    assert torch.equal(silent, silent[:1].expand_as(silent))
    assert torch.equal(silent[0], net.encode_task_layer(torch.zeros(16)))


def test_losses_are_means_over_all_words_and_the_commitment() -> None:
    torch.manual_seed(0)
    net = VQHBR(TINY).eval()
    batch = sentences(4, 12, 8)
    values = net(batch)
    output, commitment, indices = net.reconstruct(**batch)
    total = 0.0
    for given, rebuilt in zip(batch["words"].flatten().tolist(), output.flatten().tolist(), strict=True):
        total += (given - rebuilt) ** 2
    assert values["reconstruction"].item() == pytest.approx(total / batch["words"].numel(), rel=1e-5)
    assert values["commitment"].item() == pytest.approx(commitment.item())
    assert values["loss"].item() == pytest.approx((values["reconstruction"] + values["commitment"]).item())
    assert values["codes_used"].item() == len(set(indices.flatten().tolist()))
    assert [name for name, value in values.items() if value.requires_grad] == ["loss"]


def test_codes_are_those_of_the_reconstruction_and_teach_nothing() -> None:
    torch.manual_seed(0)
    net = VQHBR(TINY)
    batch = sentences(4, 12, 8)
    net.train()(batch)
    net.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    codes = net.codes(**batch)
    assert torch.equal(codes, net.reconstruct(**batch)[2])
    assert not torch.equal(codes, net.codes(batch["words"])), "lead and second matter"
    net.train().codes(**batch)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_twenty_steps_reduce_the_loss_of_a_fixed_batch() -> None:
    values = _train(lambda: None)
    assert values[-1] < 0.8 * values[0]


def test_the_same_seed_trains_the_same() -> None:
    assert _train(lambda: None, 4) == _train(lambda: None, 4)
    assert _train(lambda: None, 4) != _train(lambda: torch.manual_seed(9), 4)


def test_every_learning_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = VQHBR(TINY).train()
    net(sentences(4, 12, 8))["loss"].backward()
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert frozen == {"encoder.mask_token", "decoder.mask_token"}
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) is (name not in frozen), name
        assert name in frozen or parameter.grad is None or bool(parameter.grad.any()), name


def test_validation_is_the_same_twice() -> None:
    net = VQHBR(TINY)
    batch = sentences(4, 12, 8)
    net.train()(batch)
    net.eval()
    with torch.no_grad():
        assert torch.equal(net(batch)["loss"], net(batch)["loss"])


def test_half_precision_stops_before_the_codebook() -> None:
    torch.manual_seed(0)
    net = VQHBR(TINY).train()
    batch = sentences(4, 12, 8)
    seen: list[torch.dtype] = []
    net.quantize.register_forward_hook(lambda _module, given, gave: seen.extend([given[0].dtype, gave[0].dtype]))
    with torch.autocast("cpu", torch.bfloat16):
        values = net(batch)
        output, _, indices = net.eval().reconstruct(**batch)
        assert torch.equal(net.codes(**batch), indices)
    assert set(seen) == {torch.float32}
    assert output.dtype == torch.bfloat16
    assert values["loss"].dtype == torch.float32
    values["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_saved_state_goes_on_where_it_stopped() -> None:
    torch.manual_seed(0)
    net, other = VQHBR(TINY), VQHBR(TINY)
    batch = sentences(4, 12, 8)
    net.train()(batch)
    other.load_state_dict(net.state_dict())
    torch.manual_seed(1)
    first = net(batch)["loss"]
    torch.manual_seed(1)
    assert torch.equal(other.train()(batch)["loss"], first), "the codebook is not started again"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"codes": 0}, "sizes must be at least 1"),
        ({"kmeans_iterations": -1}, "kmeans_iterations at least 0"),
        ({"decay": 1.0}, "decay must be in"),
        ({"beta": -0.1}, "beta must not be negative"),
        ({"heads": 0}, "every size of an ECGFormer"),
        ({"decoder_layers": 0}, "every size of an ECGFormer"),
        ({"attention": "flash"}, "attention must be sdpa or plain"),
    ],
)
def test_refuses_a_size_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        VQHBRConfig(**wrong)


def _train(shuffle: Callable[[], object], steps: int = 20) -> list[float]:
    torch.manual_seed(0)
    net = VQHBR(TINY).train()
    shuffle()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    batch = sentences(8, 12, 8)
    values = []
    for _ in range(steps):
        loss = net(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


def _naive_step(
    entries: list[list[float]], usage: list[float], vectors: list[list[float]], decay: float
) -> tuple[list[list[float]], list[float], list[int]]:
    members: list[list[list[float]]] = [[] for _ in entries]
    indices = []
    for vector in map(_unit, vectors):
        distances = [sum((a - b) ** 2 for a, b in zip(vector, entry, strict=True)) for entry in entries]
        indices.append(distances.index(min(distances)))
        members[indices[-1]].append(vector)
    moved = []
    for entry, group in zip(entries, members, strict=True):
        mean = _unit(_sum(group)) if group else entry
        moved.append(_unit([decay * old + (1 - decay) * new for old, new in zip(entry, mean, strict=True)]))
    usage = [decay * old + (1 - decay) * len(group) for old, group in zip(usage, members, strict=True)]
    return moved, usage, indices


def _unit(vector: list[float]) -> list[float]:
    length: float = sum(number**2 for number in vector) ** 0.5
    return [number / length for number in vector]


def _sum(vectors: list[list[float]]) -> list[float]:
    return [sum(numbers) for numbers in zip(*vectors, strict=True)]


def _worker_follow() -> Callable[[str, Tensor, int], dict[str, Tensor]]:
    spec = importlib.util.spec_from_file_location("codebook_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    follow: Callable[[str, Tensor, int], dict[str, Tensor]] = module.follow
    return follow
