"""Transformer blocks and fixed positions against naive references."""

from __future__ import annotations

import math

import pytest
import torch

from mibench.methods.nets.vit import Attention, Block, FeedForward, initialize, run_blocks, sine_cosine_positions


def test_both_kinds_of_attention_are_the_same_function() -> None:
    torch.manual_seed(0)
    plain, fused = Attention(24, 3, "plain"), Attention(24, 3, "sdpa")
    fused.load_state_dict(plain.state_dict())
    tokens = torch.randn(2, 9, 24)
    torch.testing.assert_close(plain(tokens), fused(tokens))
    naive = torch.zeros(2, 9, 24)
    query, key, value = plain.to_qkv(tokens).split(24, dim=-1)
    for record in range(2):
        for head in (slice(0, 8), slice(8, 16), slice(16, 24)):
            for token in range(9):
                weight = (key[record, :, head] @ query[record, token, head] / math.sqrt(8)).softmax(0)
                naive[record, token, head] = weight @ value[record, :, head]
    torch.testing.assert_close(plain(tokens), plain.to_out(naive))


def test_a_block_adds_attention_and_then_feed_forward_to_what_went_in() -> None:
    torch.manual_seed(0)
    block, tokens = Block(8, 2, 12), torch.randn(2, 5, 8)
    attention, feed = block.attn, block.ff
    between = tokens + attention.fn(attention.norm(tokens))
    torch.testing.assert_close(block(tokens), between + feed.fn(feed.norm(between)))
    assert torch.equal(block.train()(tokens), block.eval()(tokens))


def test_tokens_have_no_order_of_their_own() -> None:
    torch.manual_seed(0)
    block, tokens = Block(8, 2, 12), torch.randn(1, 6, 8)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(block(tokens[:, order]), block(tokens)[:, order])


def test_computing_again_on_the_way_back_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    blocks = [Block(8, 2, 12), Block(8, 2, 12)]
    gradients = []
    for again in (False, True):
        tokens = torch.ones(1, 3, 8).cumsum(-1).requires_grad_()
        run_blocks(blocks, tokens, checkpoint_activations=again).square().sum().backward()
        gradients.append(tokens.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_positions_are_sines_then_cosines_of_slower_and_slower_waves() -> None:
    rows = sine_cosine_positions(7, 10)
    assert rows.shape == (7, 10)
    for position in range(7):
        for index in range(5):
            angle = position / 10_000 ** (index / 5)
            assert rows[position, index].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert rows[position, 5 + index].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_linear_layers_begin_within_the_bounds_of_xavier() -> None:
    torch.manual_seed(0)
    layer = FeedForward(40, 60)
    initialize(layer)
    for part in (layer.net[0], layer.net[3]):
        bound = math.sqrt(6 / 100)
        assert 0.9 * bound < part.weight.abs().max().item() <= bound
        assert not part.bias.any()


def test_refuses_a_size_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="got width 8 and 3 heads"):
        Attention(8, 3)
    with pytest.raises(ValueError, match="must be sdpa or plain; got 'flash'"):
        Attention(8, 2, "flash")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be at least 1; got 0"):
        FeedForward(8, 0)
    with pytest.raises(ValueError, match="even width; got 5"):
        sine_cosine_positions(3, 5)
