"""Published token files: read as they were written, in their published order, and no byte more than is needed."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from releases.tokens import write_lines, write_megatron, write_memmap, write_parquet, write_preshuffled

from openassay.published.tokens import BadTokens, Batches, ByteRange, Bytes, local, megatron, olmo, rows
from openassay.published.tokens.ranges import in_parts, joined

few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
documents = st.lists(st.lists(st.integers(0, 65535), max_size=9), min_size=1, max_size=12).filter(
    lambda found: sum(map(len, found)) > 1
)


class Watched:
    """Bytes of local files, and which were asked for."""

    def __init__(self, folder: Path) -> None:
        self.read: Bytes = local(folder)
        self.asked: list[ByteRange] = []

    def __call__(self, wanted: ByteRange) -> bytes:
        self.asked.append(wanted)
        return self.read(wanted)


def asks_for_its_ranges(batches: Batches, watched: Watched, first: int, stop: int) -> None:
    """What a span says it needs is what reading it asks for: no byte less, no byte more."""
    planned = batches.ranges(first, stop)
    watched.asked.clear()
    for index in range(first, stop):
        batches.batch(index)
    assert joined(watched.asked) == planned


# Byte ranges -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 20)), max_size=20))
def test_joined_ranges_hold_the_same_bytes_without_overlap(spans: list[tuple[str, int, int]]) -> None:
    ranges = [ByteRange(name, start, start + size) for name, start, size in spans]
    found = joined(ranges)
    held = {(one.file, at) for one in found for at in range(one.start, one.stop)}
    wanted = {(one.file, at) for one in ranges for at in range(one.start, one.stop)}
    assert wanted == held
    assert all(b.file > a.file or b.start > a.stop for a, b in itertools.pairwise(found))


def test_a_file_that_ends_before_a_range_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345")
    assert local(tmp_path)(ByteRange("a.bin", 1, 3)) == b"23"
    with pytest.raises(BadTokens, match=r"a.bin: expected bytes \[3, 9\), found 5 bytes in all"):
        local(tmp_path)(ByteRange("a.bin", 3, 9))
    with pytest.raises(BadTokens, match="none.bin: cannot be read: No such file"):
        local(tmp_path)(ByteRange("none.bin", 0, 1))


# Megatron --------------------------------------------------------------------------------------------------------------


def test_so_few_tokens_that_their_epochs_would_fill_the_memory_are_a_finding() -> None:
    with pytest.raises(BadTokens, match="expected tokens for 1000000000 samples, found 2: .* epochs of 2 documents"):
        megatron.shuffled(np.ones(2, np.int32), range(2), sequence_length=2048, num_samples=10**9, seed=1)


@few
@given(found=documents, dtype=st.sampled_from(["<u2", "<i4", "<i8"]))
def test_what_is_written_as_a_megatron_data_set_is_read_again(
    tmp_path: Path, found: list[list[int]], dtype: str
) -> None:
    index = megatron.read_index(write_megatron(tmp_path / "data", found, dtype), (tmp_path / "data.bin").stat().st_size)
    width = index.dtype.itemsize
    read = local(tmp_path)
    again = [
        np.frombuffer(read(ByteRange("data.bin", int(at), int(at) + int(size) * width)), index.dtype).tolist()
        for at, size in zip(index.pointers, index.sizes, strict=True)
    ]
    assert again == found


def slow_order(sizes: list[int], chosen: list[int], length: int, wanted: int, seed: int) -> list[list[tuple[int, int]]]:
    """GPT-NeoX's order from its description, token by token: each sample as (document, token of it)."""
    generator = np.random.RandomState(seed)
    tokens, epochs = sum(sizes[at] for at in chosen), 1
    while (epochs * tokens - 1) // length < wanted:
        epochs += 1
    order = np.array(chosen * epochs, dtype=np.int32)
    generator.shuffle(order)
    flow = [(int(at), token) for at in order for token in range(sizes[at])]
    count = (epochs * tokens - 1) // length
    samples = [flow[at * length : at * length + length + 1] for at in range(count)]
    shuffle = np.arange(count, dtype=np.uint32)
    generator.shuffle(shuffle)
    return [samples[at] for at in shuffle]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 1),
    st.integers(1, 7), st.integers(1, 12), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_order_is_that_of_its_description(sizes: list[int], length: int, wanted: int, seed: int) -> None:
    chosen = list(range(len(sizes)))
    order = megatron.shuffled(
        np.array(sizes, dtype=np.int32), chosen, sequence_length=length, num_samples=wanted, seed=seed
    )
    found = [
        [(at, first + token) for at, first, size in order.pieces(sample) for token in range(size)]
        for sample in range(len(order.samples))
    ]
    assert found == slow_order(sizes, chosen, length, wanted, seed)
    assert len(found) >= wanted


def test_the_order_follows_numpys_generators_as_they_were() -> None:
    # written down once: a numpy that shuffles otherwise would make every published order wrong without a sound
    order = megatron.shuffled(
        np.array([3, 2, 4], dtype=np.int32), [0, 1, 2], sequence_length=2, num_samples=6, seed=1234
    )
    assert order.documents.tolist() == [2, 1, 2, 0, 1, 0]
    assert order.samples.tolist() == [5, 0, 3, 4, 2, 6, 1, 7]
    assert olmo.shuffled(10, seed=6198).tolist() == [2, 4, 7, 3, 8, 9, 0, 6, 1, 5]


def test_parts_that_are_too_short_are_a_finding() -> None:
    assert in_parts((("a", 3), ("b", 0), ("c", 4)), 2, 6) == [ByteRange("a", 2, 3), ByteRange("c", 0, 3)]
    with pytest.raises(BadTokens, match="a: expected 8 bytes in 2 parts, found 7"):
        in_parts((("a", 3), ("c", 4)), 2, 8)


@few
@given(found=documents, length=st.integers(1, 5), batch=st.integers(1, 3), data=st.data())
def test_a_span_of_shuffled_batches_asks_for_its_own_bytes(
    tmp_path: Path, found: list[list[int]], length: int, batch: int, data: st.DataObject
) -> None:
    watched = Watched(tmp_path)
    index = megatron.read_index(write_megatron(tmp_path / "data", found))
    order = megatron.shuffled(index.sizes, range(len(found)), sequence_length=length, num_samples=batch * 2, seed=7)
    content = (tmp_path / "data.bin").read_bytes()
    cut = data.draw(st.integers(1, len(content)))
    (tmp_path / "data-0.bin").write_bytes(content[:cut])
    (tmp_path / "data-1.bin").write_bytes(content[cut:])
    parts = (("data-0.bin", cut), ("data-1.bin", len(content) - cut))
    batches = megatron.Shuffled(index=index, order=order, batch_size=batch, read=watched, parts=parts)
    stop = data.draw(st.integers(0, batches.num_batches))
    first = data.draw(st.integers(0, stop))
    asks_for_its_ranges(batches, watched, first, stop)
    slow = slow_order([len(one) for one in found], list(range(len(found))), length, batch * 2, 7)
    for at in range(first, stop):
        assert batches.batch(at).tolist() == [
            [found[one][token] for one, token in slow[at * batch + row]] for row in range(batch)
        ]


def test_with_paths_neox_asks_for_half_a_per_cent_more() -> None:
    assert megatron.samples_asked(143000, 1024, by_paths=False) == 146432000
    assert megatron.samples_asked(143000, 1024, by_paths=True) == 147164160


def test_a_split_gives_the_documents_of_each_part() -> None:
    assert megatron.split_documents("969, 30, 1", 1000) == (0, 969, 999, 1000)
    assert megatron.split_documents("1/1", 5) == (
        0,
        3,
        5,
        5,
    )  # rounding gives 4 documents, and the fifth goes to the first part
    for bad in ("a,b", "0,0,0", "-1,2", "inf,1"):
        with pytest.raises(BadTokens, match="split: expected shares"):
            megatron.split_documents(bad, 10)


def corrupted(path: Path, at: int, data: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("at", "data", "says"),
    [
        (0, b"NOTMIDX", "expected the magic"),
        (9, struct.pack("<Q", 2), "expected version 1, found 2"),
        (17, b"\x09", "found the code 9"),
        (17, b"\x06", "expected token ids, found the type float32"),
        (18, struct.pack("<Q", 2**63), "expected at most"),
        (18, struct.pack("<Q", 3), "expected .* bytes for 3 sequences"),
        (34, struct.pack("<i", -5), "sequence 0: expected a size of 0 or more, found -5"),
        (34, struct.pack("<i", 50), "sequence 0: expected an end up to byte 10, the .bin's last, found 100"),
        (42, struct.pack("<q", -2), "sequence 0: expected an offset into the .bin, found -2"),
        (50, struct.pack("<q", 2**63 - 2), "sequence 1: expected an offset into the .bin"),
        (58 + 8, struct.pack("<q", 9), "expected document boundaries from 0 up to 2"),
    ],
)
def test_an_index_that_is_wrong_is_a_finding_in_one_line(tmp_path: Path, at: int, data: bytes, says: str) -> None:
    path = corrupted(write_megatron(tmp_path / "data", [[1, 2, 3], [4, 5]]), at, data)
    with pytest.raises(BadTokens, match=says) as error:
        megatron.read_index(path, (tmp_path / "data.bin").stat().st_size)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("data.idx: ") or "sequence" in says


@few
@given(cut=st.integers(0, 81), noise=st.binary(max_size=6), at=st.integers(0, 81))
def test_no_index_ends_in_a_traceback(tmp_path: Path, cut: int, noise: bytes, at: int) -> None:
    path = corrupted(write_megatron(tmp_path / "data", [[1, 2, 3], [4, 5]]), at, noise)
    path.write_bytes(path.read_bytes()[:cut])
    found = read_or_finding(path)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert found.ends.max(initial=0) <= 10


def read_or_finding(path: Path) -> megatron.Index | str:
    try:
        return megatron.read_index(path, 10)
    except BadTokens as finding:
        return str(finding)


# Preshuffled -----------------------------------------------------------------------------------------------------------


@few
@given(
    num=st.integers(1, 9), length=st.integers(1, 5), batch=st.integers(1, 3), part=st.integers(1, 40), data=st.data()
)
def test_preshuffled_items_come_in_the_order_of_the_file(
    tmp_path: Path, num: int, length: int, batch: int, part: int, data: st.DataObject
) -> None:
    items = np.arange(num * length).reshape(num, length) % 65536
    watched = Watched(tmp_path)
    batches = megatron.Preshuffled(
        parts=tuple(write_preshuffled(tmp_path, items, part)), item_length=length, batch_size=batch, read=watched,
        num_items=num,
    )  # fmt: skip
    assert batches.num_batches == num // batch
    stop = data.draw(st.integers(0, batches.num_batches))
    first = data.draw(st.integers(0, stop))
    asks_for_its_ranges(batches, watched, first, stop)
    assert sum(one.size for one in batches.ranges(first, stop)) == (stop - first) * batch * length * 2
    for at in range(first, stop):
        assert batches.batch(at).tolist() == items[at * batch : (at + 1) * batch].tolist()


def test_the_first_512_batches_of_pythia_need_two_gigabytes_of_their_file() -> None:
    def nothing(_: ByteRange) -> bytes:
        raise AssertionError("a plan reads nothing")

    batches = megatron.Preshuffled(
        parts=(("document.bin", 600_293_376_000 // 4098 * 4098),), item_length=2049, batch_size=1024, read=nothing,
        num_items=600_293_376_000 // 4098,
    )  # fmt: skip
    assert batches.ranges(0, 512) == [ByteRange("document.bin", 0, 2148532224)]


def test_preshuffled_items_with_an_index_must_lie_one_after_another(tmp_path: Path) -> None:
    path = write_megatron(tmp_path / "data", [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    batches = megatron.preshuffled(megatron.read_index(path), (("data.bin", 18),), 2, local(tmp_path))
    assert batches.num_batches == 1
    assert batches.batch(0).tolist() == [[1, 2, 3], [4, 5, 6]]
    moved = megatron.read_index(corrupted(path, 34 + 12 + 8, struct.pack("<q", 4)))
    with pytest.raises(BadTokens, match="item 1: expected at byte 6, one after another, found at 4"):
        megatron.preshuffled(moved, (("data.bin", 18),), 2, local(tmp_path))
    uneven = megatron.read_index(write_megatron(tmp_path / "other", [[1, 2], [3]]))
    with pytest.raises(BadTokens, match="expected items of one length, found 2"):
        megatron.preshuffled(uneven, (("other.bin", 6),), 1, local(tmp_path))
    with pytest.raises(BadTokens, match="expected 3 items .24 bytes., found 10 bytes"):
        megatron.Preshuffled(parts=(("a", 10),), item_length=4, batch_size=1, read=local(tmp_path), num_items=3)


# OLMo ------------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(0, 10**6))
def test_olmos_order_is_that_of_its_description(num: int, seed: int) -> None:
    order = np.arange(num, dtype=np.uint32)
    np.random.Generator(np.random.PCG64(seed=seed)).shuffle(order)
    assert olmo.shuffled(num, seed=seed).tolist() == order.tolist()


@few
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5), length=st.integers(1, 6), batch=st.integers(1, 3),
    dtype=st.sampled_from(["<u2", "<u4"]), data=st.data(),
)  # fmt: skip
def test_olmos_sequences_are_cut_in_each_file_and_its_rest_is_dropped(
    tmp_path: Path, sizes: list[int], length: int, batch: int, dtype: str, data: st.DataObject
) -> None:
    contents = [np.arange(at * 100, at * 100 + size) for at, size in enumerate(sizes)]
    files = tuple(write_memmap(tmp_path / f"part-{at}.npy", tokens, dtype) for at, tokens in enumerate(contents))
    sequences = [
        tokens[at : at + length].tolist()
        for tokens in contents
        for at in range(0, len(tokens) // length * length, length)
    ]
    watched = Watched(tmp_path)
    kind = {
        "files": files,
        "sequence_length": length,
        "batch_size": batch,
        "read": watched,
        "seed": 6198,
        "dtype": np.dtype(dtype),
    }
    if not sequences:
        with pytest.raises(BadTokens, match="found 0"):
            olmo.Memmaps(**kind)
        return
    batches = olmo.Memmaps(**kind)
    stop = data.draw(st.integers(0, batches.num_batches))
    first = data.draw(st.integers(0, stop))
    asks_for_its_ranges(batches, watched, first, stop)
    order = olmo.shuffled(len(sequences), seed=6198)
    for at in range(first, stop):
        assert batches.batch(at).tolist() == [sequences[one] for one in order[at * batch : (at + 1) * batch]]


def test_a_file_of_half_tokens_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(BadTokens, match="part.npy: expected token ids of 2 bytes, found 7 bytes, 1 too many"):
        olmo.Memmaps(files=(("part.npy", 7),), sequence_length=2, batch_size=1, read=local(tmp_path), seed=0)


# Rows ------------------------------------------------------------------------------------------------------------------


@few
@given(
    num=st.integers(1, 12), length=st.integers(1, 5), batch=st.integers(1, 3), group=st.integers(1, 5), data=st.data()
)
def test_rows_of_json_lines_and_of_parquet_are_the_same_tokens(
    tmp_path: Path, num: int, length: int, batch: int, group: int, data: st.DataObject
) -> None:
    items = np.arange(num * length).reshape(num, length)
    watched = Watched(tmp_path)
    path = write_lines(tmp_path / "train.jsonl", items)
    lines = rows.JsonLines(
        lines=rows.line_ranges(path, "train.jsonl"), item_length=length, batch_size=batch, read=watched
    )
    stop = data.draw(st.integers(0, lines.num_batches))
    first = data.draw(st.integers(0, stop))
    asks_for_its_ranges(lines, watched, first, stop)
    table = write_parquet(tmp_path / "train.parquet", items, group)
    groups = rows.row_groups(table, "train.parquet")
    parquet = rows.Parquet(groups=groups, paths={"train.parquet": table}, item_length=length, batch_size=batch)
    assert parquet.num_batches == lines.num_batches == num // batch
    for at in range(first, stop):
        expected = items[at * batch : (at + 1) * batch].tolist()
        assert lines.batch(at).tolist() == parquet.batch(at).tolist() == expected


def test_parquet_is_read_from_a_sparse_file_with_its_footer_and_the_planned_bytes(tmp_path: Path) -> None:
    items = np.arange(40 * 50).reshape(40, 50)
    whole = write_parquet(tmp_path / "whole.parquet", items, 8)
    data = whole.read_bytes()
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    sparse = tmp_path / "sparse.parquet"
    held = bytearray(len(data))
    held[footer:] = data[footer:]
    sparse.write_bytes(held)
    groups = rows.row_groups(sparse, "whole.parquet")
    batches = rows.Parquet(groups=groups, paths={"whole.parquet": sparse}, item_length=50, batch_size=4)
    planned = batches.ranges(3, 5)
    assert sum(one.size for one in planned) < len(data) / 2
    for one in planned:
        held[one.start : one.stop] = data[one.start : one.stop]
    sparse.write_bytes(held)
    assert batches.batch(3).tolist() == items[12:16].tolist()
    assert batches.batch(4).tolist() == items[16:20].tolist()
    with pytest.raises(BadTokens, match="whole.parquet: row group 0"):
        batches.batch(0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line 1: expected a line of JSON"),
        (b"[" * 100_000, "line 1: expected a line of JSON"),
        (b"[1]", "line 1: expected an object with token_ids"),
        (b'{"source": 1}', "line 1: expected an object with token_ids"),
        (b'{"token_ids": 5}', "line 1: expected a list of 2 token ids, found int"),
        (b'{"token_ids": [1]}', "line 1: expected 2 token ids, found 1"),
        (b'{"token_ids": [1, 2.5]}', "line 1: expected whole numbers"),
        (b'{"token_ids": [1, true]}', "line 1: expected whole numbers"),
        (b'{"token_ids": [1, -2]}', "line 1: expected whole numbers"),
        (b'{"token_ids": [1, 99999999999999999999]}', "line 1: expected whole numbers"),
    ],
)
def test_a_row_that_is_none_is_a_finding(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(line + b"\n")
    batches = rows.JsonLines(
        lines=rows.line_ranges(path, "train.jsonl"), item_length=2, batch_size=1, read=local(tmp_path)
    )
    with pytest.raises(BadTokens, match=says):
        batches.batch(0)


def test_what_is_no_parquet_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    path.write_bytes(b"PAR1 no such thing PAR1")
    with pytest.raises(BadTokens, match="train.parquet: expected a Parquet file"):
        rows.row_groups(path, "train.parquet")
    good = write_parquet(path, np.array([[1, 2]]), 1)
    with pytest.raises(BadTokens, match="expected a column tokens, found none"):
        rows.row_groups(good, "train.parquet", "tokens")


def test_all_layouts_of_the_same_tokens_give_the_same_batches(tmp_path: Path) -> None:
    items = np.random.default_rng(0).integers(0, 50000, (8, 5))
    parts = tuple(write_preshuffled(tmp_path, items, 17))
    raw = megatron.Preshuffled(parts=parts, item_length=5, batch_size=2, read=local(tmp_path), num_items=8)
    index = megatron.read_index(write_megatron(tmp_path / "data", items.tolist(), "<i4"))
    indexed = megatron.preshuffled(index, (("data.bin", (tmp_path / "data.bin").stat().st_size),), 2, local(tmp_path))
    lines = rows.line_ranges(write_lines(tmp_path / "train.jsonl", items), "train.jsonl")
    listed = rows.JsonLines(lines=lines, item_length=5, batch_size=2, read=local(tmp_path))
    for batches in (raw, indexed, listed):
        assert np.array_equal(np.concatenate([batches.batch(at) for at in range(3)]), items[:6])
