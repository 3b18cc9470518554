"""Which number of all that published code prints and writes is the measurement? Real writers of the formats, and hostile output."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from openassay.core.rerun_records import RerunStatus
from openassay.drivers import measures as measures_module
from openassay.drivers.job import Arm, Job, RunResult
from openassay.drivers.measures import FileMeasure, Measure, ReturnMeasure, StdoutMeasure, finite, measured
from openassay.drivers.readings import AtStep, BestEpoch, Reading, choose
from openassay.drivers.run import LOG_BYTES, Ended
from openassay.faults import BadInput
from openassay.records import declared, digest, parse
from openassay.run_files import read_runs

FINISHED, DIVERGED, FAILED = RerunStatus.FINISHED, RerunStatus.DIVERGED, RerunStatus.FAILED


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """An execution that has ended, with its folders."""
    out = tmp_path / "out"
    (out / "work").mkdir(parents=True)
    return Job(
        arm=Arm(), seed=7, data=None, artifacts={}, python=None, glue=None, out=out, device="cpu", threads=1,
        timeout_s=60.0, target_file="conf/target/x.yaml",
    )  # fmt: skip


def ended(log: str = "", returned: Any = None, *, cut: bool = False) -> Ended:
    return Ended(ok=True, timed_out=False, error="", returned=returned, log=log, cpu_s=0.5, log_cut=cut)


def stdout(pattern: Any, **more: Any) -> StdoutMeasure:
    return StdoutMeasure(read_from="stdout", metric="m", pattern=pattern, **more)


def file(path: str, **more: Any) -> FileMeasure:
    return FileMeasure(read_from="file", metric="m", path=path, **more)


def value(of: RunResult) -> float | None:
    assert (of.status, of.reason) == (FINISHED, "")
    return of.measurements[0].value


def printed(job: Job, log: str, measure: Measure, *, cut: bool = False) -> RunResult:
    return measured(ended(log, cut=cut), (measure,), job)


STEPS = "".join(f"step {i}000: loss {loss}\n" for i, loss in enumerate(["3.50", "2.9", "nan", "2.10", "2.4"], start=1))
STEP = r"step (?P<step>\d+): loss (?P<value>\S+)"


# What counts of several


@pytest.mark.parametrize(
    ("take", "raw", "step"),
    [
        (None, "2.4", 5000), ("last", "2.4", 5000), ("first", "3.50", 1000), ("lowest", "2.10", 4000), ("highest", "3.50", 1000),
        (AtStep(step=4000), "2.10", 4000),
    ],
)  # fmt: skip
def test_one_of_the_printed_values_counts_and_all_make_a_curve(job: Job, take: Any, raw: str, step: int) -> None:
    found = printed(job, STEPS, stdout(STEP, take=take))
    assert value(found) == float(raw)
    assert (found.measurements[0].raw, found.measurements[0].step) == (raw, step)
    assert found.curves == {"m": ((1000, 3.5), (2000, 2.9), (4000, 2.1), (5000, 2.4))}


def test_the_value_at_a_step_where_it_is_nan_means_that_the_run_diverged(job: Job) -> None:
    found = printed(job, STEPS, stdout(STEP, take=AtStep(step=3000)))
    assert (found.status, found.reason) == (DIVERGED, "m is nan")


def test_a_step_that_is_not_there_is_told_with_those_that_are(job: Job) -> None:
    found = printed(job, STEPS, stdout(STEP, take=AtStep(step=4500)))
    assert (found.status, found.reason) == (FAILED, "it gave no value at step 4500; its steps are 1000 to 5000")


def test_two_values_at_the_asked_step_are_refused_and_at_another_they_spoil_the_curve_alone(job: Job) -> None:
    log = STEPS + "step 1000: loss 9\n"
    with pytest.raises(
        BadInput, match=r"conf/target/x.yaml: rerun.measure: m: step 1000 has two values, 3.50 and 9; make"
    ):
        printed(job, log, stdout(STEP, take=AtStep(step=1000)))
    found = printed(job, log, stdout(STEP, take=AtStep(step=2000)))
    assert (found.status, found.measurements[0].value, found.curves) == (FINISHED, 2.9, {})
    assert found.reason == "m has no curve: step 1000 has two values, 3.50 and 9"


def test_all_numbers_the_points_of_a_curve(job: Job) -> None:
    found = printed(job, "acc 0.5\nacc inf\nacc 0.75\n", stdout(r"acc (\S+)", take="all", scale=100.0))
    assert (value(found), found.curves) == (75.0, {"m": ((1, 50.0), (3, 75.0))})
    assert found.measurements[0].step is None


def test_all_keeps_the_steps_that_there_are(job: Job) -> None:
    assert printed(job, STEPS, stdout(STEP, take="all")).curves == printed(job, STEPS, stdout(STEP)).curves


@pytest.mark.parametrize("name", ["value", "step"])
def test_a_group_alone_may_have_any_name(job: Job, name: str) -> None:
    assert value(printed(job, "acc 5", stdout(rf"acc (?P<{name}>\d)"))) == 5.0


def test_without_steps_there_is_no_curve(job: Job) -> None:
    assert printed(job, "acc 0.5\nacc 0.6\n", stdout(r"acc (\S+)")).curves == {}


@given(st.lists(st.tuples(st.integers(0, 30), st.decimals(-5, 5, places=2)), min_size=1))
def test_the_choice_is_that_of_python_itself(points: list[tuple[int, Decimal]]) -> None:
    readings = [Reading(value=str(number), step=str(step)) for step, number in points]
    numbers = [number for _, number in points]
    expected = {
        "last": numbers[-1],
        "first": numbers[0],
        "highest": max(numbers),
        "lowest": min(numbers),
        "all": numbers[-1],
    }
    for take, number in expected.items():
        found = choose(iter(readings), take)  # type: ignore[arg-type]
        assert found is not None
        assert Decimal(str(found.value)) == number
    unique = {step: str(number) for step, number in points}
    if len(unique) == len(points):
        found = choose(iter(readings), AtStep(step=points[0][0]))
        assert found is not None
        assert (found.value, dict(found.curve)) == (str(numbers[0]), unique)
        assert list(found.curve) == sorted(found.curve)


def test_an_arm_may_print_another_line(job: Job) -> None:
    measure = stdout((r"final accuracy: (\S+)", r"accuracy after one epoch: (\S+)"))
    assert value(printed(job, "accuracy after one epoch: 0.3\nfinal accuracy: 0.9\n", measure)) == 0.9
    assert value(printed(job, "accuracy after one epoch: 0.3\n", measure)) == 0.3
    found = printed(job, "", measure)
    assert (
        found.reason
        == r"it printed nothing that matches 'final accuracy: (\\S+)' or 'accuracy after one epoch: (\\S+)'"
    )


# What the text of a log is


def test_colours_links_and_backspaces_are_no_obstacle(job: Job) -> None:
    log = "\x1b[1;32macc\x1b[0m:\x1b[38;2;1;2;3m 0.5\x1b[0m\x1b[K\n\x1b]8;;http://x\x1b\\acc: 0.75\x1b]8;;\x07\x08\x08\x08\n"
    assert value(printed(job, log, stdout(r"^acc: (\S+)$"))) == 0.75


def test_a_pattern_that_asks_for_control_signs_still_finds_them(job: Job) -> None:
    assert value(printed(job, "\x1b[32m0.5\x1b[0m", stdout("\x1b\\[32m([0-9.]+)\x1b"))) == 0.5


BAR = "\repoch 1: 0%| | loss=9.0\repoch 1: 50%|# | loss=5.0\repoch 1: 100%|##| loss=3.0\n\repoch 2: 50%| loss=2.5\repoch 2: 100%| loss=2.0\n"


def test_the_last_state_of_a_progress_bar_counts(job: Job) -> None:
    found = printed(job, BAR, stdout(r"^epoch (?P<step>\d+): .*loss=(?P<value>\S+)$", take=AtStep(step=1)))
    assert (value(found), found.curves) == (3.0, {"m": ((1, 3.0), (2, 2.0))})
    assert value(printed(job, BAR, stdout(r"loss=(\S+)$"))) == 2.0


def test_a_real_progress_bar_is_read(job: Job) -> None:
    code = (
        "import sys, tqdm\nbar = tqdm.tqdm(range(50), mininterval=0, colour='green', file=sys.stdout)\n"
        "for i in bar: bar.set_postfix(loss=f'{5 - i / 10:.2f}')"
    )
    log = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.decode()
    assert "\r" in log
    assert "\x1b[" in log
    assert printed(job, log, stdout(r"loss=(\d+\.\d+)")).measurements[0].raw == "0.10"


# How a number is printed


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9), st.sampled_from(["f", "e", "g", ""]),
       st.sampled_from([1.0, 100.0, 0.01, 1000.0, 0.1]))  # fmt: skip
def test_printed_decimals_stay_exact(number: Decimal, form: str, scale: float) -> None:
    text = format(number, f".{6}{form}") if form else str(number)
    found, raw = finite(text, scale)
    exact = Decimal(text) * Decimal(repr(scale))
    assert found == float(exact)
    assert raw == text[:60]


@given(st.integers(0, 10**6), st.integers(0, 6))
def test_a_share_in_per_cents_has_no_noise(number: int, places: int) -> None:
    text = f"{Decimal(number).scaleb(-places)}"
    assert repr(finite(text, 100.0)[0]) == repr(float(Decimal(number).scaleb(2 - places)))


def test_the_known_cases() -> None:
    assert finite("0.143", 100.0) == (14.3, "0.143")
    assert finite("14.30", 1.0) == (14.3, "14.30")
    assert finite(0.143, 100.0) == (14.3, "0.143")
    assert finite("1" * 10_000, 1.0) == (None, "1" * 60)
    assert finite("0." + "3" * 10_000, 100.0)[0] == 100 / 3
    assert finite("1e-999999999999999999999", 100.0)[0] == 0.0
    assert finite("1e999999999999999999999", 100.0) == (None, "1e999999999999999999999")


@pytest.mark.parametrize("text", ["nan", "NaN", "NAN", "-nan", "+nan", "inf", "-inf", "Infinity", "1e999"])
def test_nan_in_all_ways_means_that_the_run_diverged(job: Job, text: str) -> None:
    found = printed(job, f"loss {text}\n", stdout(r"loss (\S+)"))
    assert (found.status, found.reason) == (DIVERGED, f"m is {text}")


@pytest.mark.parametrize(
    ("log", "pattern", "says"),
    [
        ("ppl 1,234.5", r"ppl (\d+)", "takes '1' out of '1,234'"),
        ("acc 0,93", r"acc ([\d.]+)", "takes '0' out of '0,93'"),
        ("loss 1.2e-05", r"loss ([\d.]+)", "takes '1.2' out of '1.2e-05'"),
        ("acc 93.5", r"acc (\d+)", "takes '93' out of '93.5'"),
        ("acc 93.5", r"acc .*(\d+\.\d+)", "takes '3.5' out of '93.5'"),
        ("acc 0.93", r"acc.*(\d+)", "takes '3' out of '0.93'|takes '3' out of '93'"),
        ("step 1,000: loss 2", r"step .*(?P<step>\d+): loss (?P<value>\S+)", "takes '0' out of"),
    ],
)
def test_a_number_is_not_cut(job: Job, log: str, pattern: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        printed(job, log, stdout(pattern))


@pytest.mark.parametrize(
    ("log", "pattern", "raw"),
    [
        ("acc 93. Done", r"acc (\d+)", "93"),
        ("acc 93, loss 2", r"acc (\d+)", "93"),
        ("3,0.93,0.5", r"^\d+,([\d.]+)", "0.93"),
        ("[93,0.5]", r"\[(\d+),", "93"),
        ("acc 93.5", r"acc (\d+)\.", "93"),
        ("acc 93epochs", r"acc (\d+)", "93"),
        ("10/100", r"/(\d+)", "100"),
        ("1\n2\r\n3", r"(\d)", "3"),
        ("reward=-200.5", r"reward=([-\d.]+)", "-200.5"),
    ],
)
def test_a_number_that_ends_where_the_pattern_says_is_whole(job: Job, log: str, pattern: str, raw: str) -> None:
    assert printed(job, log, stdout(pattern)).measurements[0].raw == raw


@pytest.mark.parametrize(
    ("log", "pattern", "reason"),
    [
        ("acc 1,5", r"acc (\S+)", "a number is needed, it gave '1,5'; whether its comma parts thousands or is the decimal sign is not guessed"),
        ("acc 93.5%", r"acc (\S+)", "a number is needed, it gave '93.5%'; leave the space or the per cent sign out of what is read"),
        ("begin\nFinal Accuracy = 0.93\nbye\n", r"accuracy: (\S+)", r"it printed nothing that matches 'accuracy: (\\S+)'; the last lines with numbers are 'Final Accuracy = 0.93'"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_told_with_what_may_help(job: Job, log: str, pattern: str, reason: str) -> None:
    found = printed(job, log, stdout(pattern))
    assert (found.status, found.reason) == (FAILED, reason)


# Files


def write(job: Job, name: str, content: str | bytes) -> Path:
    path = job.out / "work" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(job: Job, measure: Measure, returned: Any = None) -> RunResult:
    return measured(ended(returned=returned), (measure,), job)


LINES = '{"epoch": 1, "val": {"acc": 0.50}}\n\n{"epoch": 1, "train": 3}\n{"epoch": 2, "val": {"acc": 0.70}}\n{"epoch": 3, "val": {"acc": 0.143}}\n'
TRAINER = {"log_history": [{"step": 10, "loss": 4.0}, {"step": 10, "eval_loss": 3.5}, {"step": 20, "eval_loss": 3.28}]}


def test_json_lines_are_read_at_the_end_at_the_best_and_at_a_step(job: Job) -> None:
    write(job, "log.jsonl", LINES)
    measure = file("log.jsonl", key="val.acc")
    found = read(job, replace(measure, scale=100.0))
    assert (value(found), found.measurements[0].raw, found.curves) == (14.3, "0.143", {})
    assert value(read(job, replace(measure, take="highest"))) == 0.7
    found = read(job, replace(measure, take=AtStep(step=1)))
    assert (value(found), found.measurements[0].step) == (0.5, 1)
    assert found.curves == read(job, replace(measure, steps="epoch")).curves == {"m": ((1, 0.5), (2, 0.7), (3, 0.143))}
    write(job, "more.jsonl", '{"epoch": 1, "step": 2, "acc": 3}\n')
    with pytest.raises(BadInput, match="which of epoch, step holds the steps\\? name it by steps"):
        read(job, file("more.jsonl", key="acc", take=AtStep(step=2)))


def test_the_history_of_a_hugging_face_trainer_is_read(job: Job) -> None:
    write(job, "trainer_state.json", json.dumps(TRAINER))
    measure = file("trainer_state.json", key="log_history.eval_loss")
    with pytest.raises(BadInput, match="2 objects of a list have 'eval_loss'; say take"):
        read(job, measure)
    assert value(read(job, replace(measure, take="last"))) == 3.28
    found = read(job, replace(measure, take=AtStep(step=10), steps="step"))
    assert (value(found), found.curves) == (3.5, {"m": ((10, 3.5), (20, 3.28))})
    best = BestEpoch(by="log_history.val", best="highest")
    write(
        job,
        "both.json",
        json.dumps({"log_history": [{"val": 1, "acc": 5}, {"val": 3, "acc": 7}, {"val": 2, "acc": 9}]}),
    )
    assert value(read(job, file("both.json", key="log_history.acc", best_epoch=best))) == 7


def test_a_list_is_refused_with_what_it_holds_and_read_when_told_how(job: Job) -> None:
    history = {"val": [0.5, 0.75, 0.6], "deep": {"a": 1, "b": 2}}
    measure = ReturnMeasure(read_from="return", metric="m", key="val")
    with pytest.raises(BadInput, match="it gave a list of 3, 0.5, 0.75, 0.6; say take, or end key in a place: 0 to 2"):
        read(job, measure, history)
    with pytest.raises(BadInput, match="it gave an object with a, b; end key in one of them"):
        read(job, replace(measure, key="deep"), history)
    assert value(read(job, replace(measure, take="highest"), history)) == 0.75
    found = read(job, replace(measure, take="all"), history)
    assert (value(found), found.curves) == (0.6, {"m": ((1, 0.5), (2, 0.75), (3, 0.6))})
    found = read(job, replace(measure, take=AtStep(step=1)), history)
    assert (found.status, found.reason) == (FAILED, "it gave no value at step 1; its values stand at no step")
    found = read(job, replace(measure, key="val.0", take=AtStep(step=1)), history)
    assert (found.status, found.reason) == (FAILED, "it gave no value at step 1; its values stand at no step")


def keras_csv() -> str:
    """As `keras.callbacks.CSVLogger` writes it: csv.DictWriter, epoch first, the logs by name."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=["epoch", "accuracy", "loss", "val_accuracy", "val_loss"])
    writer.writeheader()
    for epoch, accuracy in enumerate([0.8112499713897705, 0.8924999833106995, 0.8899999856948853]):
        writer.writerow(
            {"epoch": epoch, "accuracy": 0.9, "loss": 0.25, "val_accuracy": accuracy, "val_loss": 1 - accuracy}
        )
    return stream.getvalue()


def test_the_csv_of_keras_is_read(job: Job) -> None:
    write(job, "training.log", keras_csv())
    measure = file("training.log", key="val_accuracy", format="csv")
    assert read(job, measure).measurements[0].raw == "0.8899999856948853"
    assert value(read(job, replace(measure, take="highest", scale=100.0))) == 89.24999833106995
    assert value(read(job, replace(measure, take=AtStep(step=0)))) == 0.8112499713897705
    best = BestEpoch(by="val_loss", best="lowest")
    assert value(read(job, replace(measure, key="accuracy", best_epoch=best))) == 0.9
    write(job, "training.csv", keras_csv().replace(",", "\t"))
    assert value(read(job, file("training.csv", key="val_loss", take="first"))) == pytest.approx(0.18875)
    found = read(job, file("training.csv", key="val_acc"))
    assert (found.status, found.reason) == (FAILED, "it has no column 'val_acc': did you mean val_accuracy?")
    with pytest.raises(BadInput, match="m: which of accuracy, loss, val_accuracy, val_loss is meant\\? name it by key"):
        read(job, file("training.csv"))


def test_a_sparse_table_is_read_where_it_has_values(job: Job) -> None:
    write(job, "metrics.csv", "epoch,step,train_loss,val_loss\n0,49,4.1,\n0,49,,3.9\n1,99,3.2,\n1,99,,3.280\n")
    found = read(job, file("metrics.csv", key="val_loss", steps="step"))
    assert (value(found), found.measurements[0].raw, found.curves) == (3.28, "3.280", {"m": ((49, 3.9), (99, 3.28))})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("epoch;acc\n1;0,93\n", "a number is needed, it gave '0,93'; whether its comma"),
        ('epoch,ppl\n1,"1,234.5"\n', "a number is needed, it gave '1,234.5'; whether its comma"),
        ("epoch,acc\n1,0.9,8\n", "metrics.csv: line 2: 2 cell(s) expected, as in the first row, found 3"),
        ("epoch,acc\n", "metrics.csv: a header and no rows: epoch, acc"),
        ("", "metrics.csv: there is nothing in it"),
        (b"\x00\x01\x02", "metrics.csv: not text but binary data"),
        ("epoch,acc\n1,\n2,NA\n", "it gave no value of"),
        ('{"acc": 1}', "metrics.csv is no file of CSV"),
    ],
)
def test_a_table_that_gives_no_number_is_a_failure_in_one_line(job: Job, content: str | bytes, reason: str) -> None:
    write(job, "metrics.csv", content)
    found = read(job, file("metrics.csv", key="ppl" if "ppl" in str(content) else "acc"))
    assert found.status is FAILED
    assert found.reason.startswith(reason)
    assert "--" not in found.reason
    assert str(job.out) not in found.reason
    assert "\n" not in found.reason


def test_a_classification_report_is_text(job: Job) -> None:
    truth = [0] * 5 + [1] * 5
    report = classification_report(truth, [0, 0, 0, 0, 1, 1, 1, 1, 0, 0], target_names=["cat", "dog"], digits=4)
    write(job, "report.txt", f"Results\n{report}")
    accuracy = file("report.txt", pattern=r"^ +accuracy +(\S+)")
    found = read(job, replace(accuracy, scale=100.0))
    assert (value(found), found.measurements[0].raw) == (70.0, "0.7000")
    f1_of_dog = r"^ +dog +\S+ +\S+ +(\S+)"
    assert (
        value(read(job, file("report.txt", pattern=f1_of_dog)))
        == value(printed(job, str(report), stdout(f1_of_dog)))
        == 0.6667
    )
    assert read(job, file("report.txt", pattern="auc (.*)")).reason.startswith(
        "report.txt has nothing that matches 'auc (.*)'; the last"
    )


def test_event_files_of_torch_are_read(job: Job) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(job.out / "work" / "runs")) as writer:
        for step, loss in enumerate([14.9, 14.3, 14.6]):
            writer.add_scalar("val/loss", loss, 10 * step)
            writer.add_scalar("val/acc", loss / 100, 10 * step)
        writer.add_text("note", "hello")
    measure = file("runs/*tfevents*", key="val/loss")
    found = read(job, replace(measure, take="lowest"))
    assert (value(found), found.measurements[0].raw, found.measurements[0].step) == (14.3, "14.3", 10)
    assert found.curves == {"m": ((0, 14.9), (10, 14.3), (20, 14.6))}
    assert value(read(job, replace(measure, take=AtStep(step=20)))) == 14.6
    assert value(read(job, replace(measure, best_epoch=BestEpoch(by="val/acc", best="highest")))) == 14.9
    with pytest.raises(BadInput, match="which of val/loss, val/acc is meant\\? name it by key"):
        read(job, replace(measure, key=""))
    assert read(job, replace(measure, key="val/los")).reason == "it has no column 'val/los': did you mean val/loss?"
    with SummaryWriter(str(job.out / "work" / "runs")) as writer:
        writer.add_scalar("other", 1.0, 1)
    with pytest.raises(
        BadInput,
        match=r"2 files match 'runs/\*tfevents\*'; one is needed: work/runs/events.*, work/runs/events.*; name one",
    ):
        read(job, measure)


@pytest.mark.parametrize("content", [b"", b"\x18\x00", b"\xff" * 100, os.urandom(1000)])
def test_an_event_file_of_other_bytes_is_a_failure(job: Job, content: bytes) -> None:
    pytest.importorskip("tensorboard")
    write(job, "events.out.tfevents.1.host", content)
    found = read(job, file("*tfevents*", key="loss"))
    assert found.status is FAILED
    assert str(job.out) not in found.reason


def test_the_file_store_of_mlflow_is_read(job: Job) -> None:
    mlflow = pytest.importorskip("mlflow")
    code = (
        "import mlflow\nmlflow.set_tracking_uri('file:./mlruns')\nwith mlflow.start_run():\n"
        "    for i in range(4): mlflow.log_metric('val/acc', [0.1, 0.143, 0.12, 0.11][i], step=i * 10)\n"
        "    mlflow.log_metric('val/loss', 3.0)\n"
    )
    environment = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "1", "MLFLOW_ENABLE_FILE_STORE": "1"}
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=job.out / "work", env=environment, capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"mlflow {mlflow.__version__} writes no file store: {made.stderr[-200:]}")
    measure = file("mlruns/*/*/metrics/val/acc", scale=100.0)
    found = read(job, replace(measure, take="highest"))
    assert (value(found), found.measurements[0].raw, found.measurements[0].step) == (14.3, "0.143", 10)
    assert found.curves == {"m": ((0, 10.0), (10, 14.3), (20, 12.0), (30, 11.0))}
    with pytest.raises(BadInput, match="2 files match"):
        read(job, replace(measure, path="mlruns/*/*/metrics/val/*"))


def test_an_offline_run_of_wandb_is_read(job: Job) -> None:
    pytest.importorskip("wandb")
    code = (
        "import wandb\nrun = wandb.init(mode='offline', project='p')\n"
        "for i, acc in enumerate([0.5, 0.143, 0.7]): run.log({'val/acc': acc, 'eval': {'loss': 3 - i}})\n"
        "run.summary['final'] = 0.69\nrun.finish()\n"
    )
    environment = os.environ | {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "HOME": str(job.out)}
    subprocess.run([sys.executable, "-c", code], cwd=job.out / "work", env=environment, check=True, timeout=120)
    measure = file("wandb/*/*.wandb", key="val/acc", scale=100.0)
    found = read(job, measure)
    assert (value(found), found.curves) == (70.0, {"m": ((0, 50.0), (1, 14.3), (2, 70.0))})
    found = read(job, replace(measure, take="lowest"))
    assert (value(found), found.measurements[0].raw) == (14.3, "0.143")
    assert value(read(job, replace(measure, key="eval.loss", scale=1.0))) == 1.0
    assert value(read(job, replace(measure, key="final"))) == 69.0
    (path,) = (job.out / "work").glob("wandb/offline-*/*.wandb")
    assert read_runs(path, column="val/acc", at="last").values == (0.7,)


def wandb_bytes(*messages: bytes) -> bytes:
    data = b":W&B\xe1\xbe\x00"
    for message in messages:
        data += (
            zlib.crc32(b"\x01" + message).to_bytes(4, "little") + len(message).to_bytes(2, "little") + b"\x01" + message
        )
    return data


def field(number: int, content: bytes) -> bytes:
    tag = number << 3 | 2
    head = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
    return head + bytes([len(content)]) + content


ROW = field(2, field(1, field(1, b"acc") + field(16, b"0.5")))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (wandb_bytes(ROW), ""),
        (wandb_bytes(ROW) + b"\x00" * 3, ""),
        (wandb_bytes(ROW, ROW)[:-2], ""),  # killed while it wrote
        (b"", "it begins otherwise"),
        (wandb_bytes(ROW).replace(b"0.5", b"0.6"), "the record at byte 7 is damaged"),
        (wandb_bytes(ROW[:-1]), "a record ends too early"),
        (wandb_bytes(b"\xff" * 20), "a number in a record has no end"),
        (wandb_bytes(b"\x07"), "a record is no message"),
        (wandb_bytes(field(2, field(1, field(1, b"acc") + field(16, b"[" * 100)))), "not a file of a W&B run"),
        (wandb_bytes(), "nothing was logged in it"),
    ],
)
def test_a_wandb_file_is_read_or_refused_in_one_line(job: Job, content: bytes, says: str) -> None:
    write(job, "run.wandb", content)
    found = read(job, file("run.wandb", key="acc"))
    assert says in found.reason
    assert (found.status is FINISHED) == (not says)
    assert not found.measurements or found.measurements[0].value == 0.5


# Hostile output


def test_of_very_many_matches_one_counts_and_they_are_no_curve(job: Job) -> None:
    log = "".join(f"step {i} loss {i % 7}\n" for i in range(300_000))
    found = printed(job, log, stdout(r"step (?P<step>\d+) loss (?P<value>\d+)"))
    assert (found.status, found.measurements[0].value, found.curves) == (FINISHED, float(299_999 % 7), {})
    assert found.reason == "m has no curve: it has more than 100000 points"


@pytest.mark.parametrize("take", ["first", "highest", "lowest"])
def test_what_may_stand_in_the_part_of_a_log_that_is_not_kept_is_not_told(job: Job, take: Any) -> None:
    with pytest.raises(
        BadInput,
        match="of more than 16 MiB of text only the end is read, and what counts may stand before",
    ):
        printed(job, STEPS, stdout(STEP, take=take), cut=True)
    assert value(printed(job, "cut\n" + STEPS, stdout(STEP), cut=True)) == 2.4
    assert value(printed(job, "cut\n" + STEPS, stdout(STEP, take=AtStep(step=4000)), cut=True)) == 2.1
    for measure in (stdout(STEP, take=AtStep(step=1)), stdout("auc (.*)")):
        with pytest.raises(BadInput, match="only the end of the text is read|nothing there matches"):
            printed(job, STEPS, measure, cut=True)
    found = printed(job, "00: loss 7\n" + STEPS, stdout(r"(?P<step>\d+): loss (?P<value>\S+)"), cut=True)
    assert found.curves["m"][0] == (1000, 3.5)
    found = printed(job, "acc 1\nacc 2\n", stdout(r"acc (\d)", take="all"), cut=True)
    assert (found.measurements[0].value, found.curves) == (2.0, {})


def test_of_a_huge_text_file_the_end_is_read(job: Job) -> None:
    path = write(job, "train.log", "")
    with path.open("wb") as stream:
        stream.seek(300 * 2**20)
        stream.write(b"\nacc \xff\xfe 0.5\nacc 0.25\n")
    assert value(read(job, file("train.log", pattern=r"^acc (\d\S+)"))) == 0.25
    assert path.stat().st_size > LOG_BYTES
    with pytest.raises(BadInput, match="of more than 16 MiB of text only the end is read"):
        read(job, file("train.log", pattern=r"acc (\S+)", take="first"))
    for other in ("jsonl", "csv"):
        assert read(job, file("train.log", format=other, key="acc")).reason == "train.log is larger than 67108864 bytes"


def test_a_pattern_that_takes_for_ever_is_given_up_with_steps_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures_module, "PATTERN_S", 0.2)
    found = printed(job, "1 " + "a" * 5000 + "!", stdout(r"^(?P<step>\d) (?P<value>(?:a|aa)+)$"))
    assert found.status is FAILED
    assert "took more than 0.2 s over the log" in found.reason


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.txt", "x.wandb", "x.tfevents.1"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), Path.mkdir], ids=["pipe", "link", "folder"]
)
def test_what_is_no_file_is_not_read(job: Job, name: str, make: Callable[[Path], None]) -> None:
    make(job.out / "work" / name)
    measure = file(name, key="k") if name != "x.txt" else file(name, pattern="(.*)")
    assert read(job, measure).reason == f"0 files match {name!r}; one is needed"


@pytest.mark.parametrize("line", ["[1]", "{", "1", "[" * 100_000, "\xff", '{"a": 1}x'])
def test_a_line_that_is_no_object_is_told(job: Job, line: str) -> None:
    write(job, "x.jsonl", f'{{"a": 1}}\n{line}\n'.encode("latin-1"))
    assert read(job, file("x.jsonl", key="a")).reason == "x.jsonl: line 2 is no JSON object"


def test_a_huge_integer_in_json_is_a_number_that_is_not_finite(job: Job) -> None:
    write(job, "x.json", "[" + "9" * 100_000 + ", NaN]")
    assert read(job, file("x.json", key="0")).reason == f"m is {'9' * 60}"
    assert read(job, file("x.json", key="1")).status is DIVERGED


# What a target may say


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"take": "best"}, "take.word: should be 'last', 'first', 'highest', 'lowest' or 'all', found 'best'"),
        ({"take": {"step": 5}}, "the pattern needs the groups"),
        ({"take": {"stp": 5}}, "did you mean step"),
        ({"take": "last", "best_epoch": {"by": "(x)", "best": "highest"}}, "best_epoch and take both say"),
        ({"pattern": ["(x)", "(y"]}, "not a regular expression"),
        ({"pattern": []}, "pattern"),
        ({"pattern": "(?P<step>x)(y)"}, "it has 2"),
        (
            {"read_from": "file", "path": "x", "format": "csv"},
            "a file of text needs a pattern, and no other format takes one",
        ),
        ({"read_from": "file", "path": "x", "key": "a"}, "key and steps are not for a text"),
    ],
)
def test_a_measure_that_cannot_be_read_is_bad_input(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse(Measure, {"read_from": "stdout", "metric": "m", "pattern": "(x)"} | more, "f")


def test_the_new_keys_change_no_digest_of_what_targets_say() -> None:
    """Of the words that every target so far could say."""
    for words in (
        {"metric": "m", "read_from": "stdout", "pattern": "(x)"},
        {"metric": "m", "read_from": "file", "path": "x.json", "key": "a.b", "scale": 100.0},
        {"metric": "m", "read_from": "return", "best_epoch": {"by": "v", "best": "highest"}, "key": "k"},
    ):
        assert digest(declared(parse(Measure, words, "f"))) == digest(words)
