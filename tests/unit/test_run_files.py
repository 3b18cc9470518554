"""Which value did each run give? Real-looking files, each read right or refused in one line that names what to type."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from openassay.faults import BadInput
from openassay.run_files import RunValues, check_scale, read_runs

PLAIN = "seed,val_loss\n0,3.279\n1,3.281\n2,3.28\n"
LOSSES = [3.279, 3.281, 3.28]
MLFLOW = """run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.acc,metrics.val/loss,params.seed,params.lr,tags.mlflow.runName
69c5,1,RUNNING,/a/69c5,2026-11-27 10:02:29.799+00:00,,,,3,0.1,fearless-rook
4e8b,1,FINISHED,/a/4e8b,2026-11-27 10:02:29.776+00:00,2026-11-27 10:02:29.793+00:00,0.5,,2,0.1,seed-2
d428,1,FAILED,/a/d428,2026-11-27 10:02:29.678+00:00,2026-11-27 10:02:29.711+00:00,0.5,9.0,9,0.1,seed-9
494f,1,FINISHED,/a/494f,2026-11-27 10:02:29.606+00:00,2026-11-27 10:02:29.637+00:00,0.5,3.279,1,0.2,seed-1
f8a3,1,FINISHED,/a/f8a3,2026-11-27 10:02:29.543+00:00,2026-11-27 10:02:29.598+00:00,0.5,3.281,0,0.1,seed-0
"""
MLFLOW_UI = (
    '"Start Time","Duration","Run ID","Name","Source Type","Source Name","User","Status","lr","val/loss"\n'
    '"2022-12-01 12:00:00","1.0s","uuid-1","run-1","LOCAL","train.py","ada","FINISHED","0.1","3.281"\n'
    '"2022-12-01 12:01:00","1.0s","uuid-2","run-2","LOCAL","train.py","ada","KILLED","0.1","4.5"\n'
    '"2022-12-01 12:02:00","1.0s","uuid-3","run-3","LOCAL","train.py","ada","FINISHED","0.1","3.279"\n'
)
MLFLOW_HISTORY = (
    '"Run","Run ID","metric","step","timestamp","value"\n'
    '"a","uuid-1","loss","1","1000","4.5"\n"a","uuid-1","loss","2","2000","3.28"\n'
    '"b","uuid-2","loss","1","1000","4.4"\n"b","uuid-2","loss","2","2000","3.27"\n'
    '"a","uuid-1","acc","1","1000","0.2"\n"a","uuid-1","acc","2","2000","0.4"\n'
)
WANDB = (
    '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","learning_rate","pooling","val/loss"\n'
    '"brisk-sun-4","crashed","-","ada","","2026-05-04T10:00:00.000Z","60","","0.001","mean","7.5"\n'
    '"brisk-sun-3","finished","-","ada","","2026-05-03T10:00:00.000Z","5400","","0.001","mean","3.28"\n'
    '"brisk-sun-2","finished","-","ada","","2026-05-02T10:00:00.000Z","5400","","0.001","mean","NaN"\n'
    '"brisk-sun-1","finished","-","ada","","2026-05-01T10:00:00.000Z","5400","","0.001","mean","3.281"\n'
)
CHART = (
    '"Step","sun - 1 - val/loss","sun - 1 - val/loss__MIN","sun - 1 - val/loss__MAX","pond - val/loss","pond - val/loss__MIN","pond - val/loss__MAX"\n'
    '"0","4.5","4.5","4.5","4.6","4.6","4.6"\n"100","3.28","3.28","3.28","3.29","3.29","3.29"\n'
)
TENSORBOARD_CSV = "Wall time,Step,Value\n1654943296.2,0,4.5\n1654943313.7,1,3.9\n1654943332.3,2,3.28\n"
CURVES = "seed,epoch,val_acc,test_acc\n0,1,0.70,0.69\n0,2,0.80,0.78\n0,3,0.79,0.80\n1,1,0.71,0.70\n1,2,0.75,0.74\n1,3,0.81,0.79\n"
LIGHTNING = "epoch,step,train_loss,val_loss\n0,49,4.1,\n0,49,,3.9\n1,99,3.2,\n1,99,,3.28\n"


def lm_eval(value: float, model: str = "", **more: Any) -> str:
    return json.dumps(
        {
            "results": {
                "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": value, "exact_match_stderr,strict-match": 0.01,
                          "exact_match,flexible-extract": value + 0.05, "exact_match_stderr,flexible-extract": 0.01},
                "hellaswag": {"alias": "hellaswag", "acc,none": value, "acc_stderr,none": 0.005, "acc_norm,none": value + 0.1,
                              "acc_norm_stderr,none": "N/A"},
            },
            "versions": {"gsm8k": 3.0, "hellaswag": 1.0}, "n-shot": {"gsm8k": 5, "hellaswag": 0},
            "config": {"model": "hf", "model_args": f"pretrained={model}", "limit": None}, "model_name": model or f"out/{value}",
        } | more
    )  # fmt: skip


READ: list[tuple[str, str | bytes, dict[str, Any], list[float | None]]] = [
    ("plain.csv", PLAIN, {"column": "val_loss"}, LOSSES),
    ("only_metric.csv", PLAIN, {}, LOSSES),
    ("bom_crlf.csv", "\ufeff" + PLAIN.replace("\n", "\r\n"), {"column": "val_loss"}, LOSSES),
    ("utf16.csv", PLAIN.encode("utf-16"), {"column": "val_loss"}, LOSSES),
    ("latin.csv", "läufe;verlust\na;3.5\nb;3.6\n".encode("latin-1"), {"column": "verlust"}, [3.5, 3.6]),
    ("old_mac.csv", PLAIN.replace("\n", "\r"), {"column": "val_loss"}, LOSSES),
    ("semicolon.csv", PLAIN.replace(",", ";"), {"column": "val_loss"}, LOSSES),
    ("tab.tsv", PLAIN.replace(",", "\t"), {"column": "val_loss"}, LOSSES),
    ("bar.txt", PLAIN.replace(",", "|"), {"column": "val_loss"}, LOSSES),
    ("given.txt", PLAIN.replace(",", "~"), {"column": "val_loss", "delimiter": "~"}, LOSSES),
    ("tab_given.txt", PLAIN.replace(",", "\t"), {"column": "val_loss", "delimiter": "tab"}, LOSSES),
    ("no_header.csv", "3.279\n3.281\n3.28\n", {}, LOSSES),
    ("no_header_nan.csv", "3.279\nnan\n\n3.28\n", {}, [3.279, None, 3.28]),
    ("one_column.csv", "val_loss\n3.279\n3.281\n3.28\n", {}, LOSSES),
    ("counts.csv", "93\n94\n92\n", {}, [93, 94, 92]),
    ("pandas_index.csv", ",val_loss\n0,3.279\n1,3.281\n", {}, LOSSES[:2]),
    ("pandas_series.csv", ",0\n0,3.279\n1,3.281\n", {"column": "0"}, LOSSES[:2]),
    ("by_number.csv", "0,3.279\n1,3.281\n", {"column": "2"}, LOSSES[:2]),
    ("year.csv", "2023\n3.279\n3.281\n", {"header": True}, LOSSES[:2]),
    ("year_is_value.csv", "3\n3.279\n3.281\n", {"header": False}, [3, *LOSSES[:2]]),
    ("quoted.csv", 'name,"val, loss"\n"a ""x"", b",3.5\n"c",3.6\n', {"column": "val, loss"}, [3.5, 3.6]),
    ("line_in_cell.csv", 'name,val_loss\n"a\n# no comment",3.5\n"c",3.6\n', {"column": "val_loss"}, [3.5, 3.6]),
    ("comments.csv", "# seeds 0 to 2\nseed,val_loss\n0,3.279\n# node 7\n\n1,3.281\n2,3.28\n", {"column": "val_loss"}, LOSSES),
    ("blank_rows.csv", "\n\nseed,val_loss\n0,3.279\n,\n\n1,3.281\n\n", {"column": "val_loss"}, LOSSES[:2]),
    ("trailing.csv", "seed,val_loss,\n0,3.279,\n1,3.281,,,\n", {"column": "val_loss"}, LOSSES[:2]),
    ("percent.csv", "seed,acc\n0,93.1%\n1,92.9 %\n", {"column": "acc"}, [93.1, 92.9]),
    ("missing.csv", "seed,acc\n0,NA\n1,N/A\n2,nan\n3,null\n4,None\n5,-\n6,\n7,inf\n8,1e200\n9,.93\n10,9.2e-1\n11,\u22120.5\n", {"column": "acc"},
     [None] * 3 + [0.93, 0.92, -0.5]),
    ("decimal_comma_first.csv", '"94,1"\n"93,9"\n"94,0"\n', {}, [94.1, 93.9, 94.0]),
    ("typographic_minus.csv", "\u22123.28\n\u22123.29\n", {}, [-3.28, -3.29]),
    ("some_without.csv", "seed,acc\n0,94.1\n1,\n2,\n3,94\n", {"column": "acc"}, [94.1, 94.0]),
    ("excel_sep.csv", "sep=;\r\nseed;acc\r\n0;0,931\r\n1;0,9\r\n", {"column": "acc"}, [0.931, 0.9]),
    ("rows_are_runs.csv", "step,acc\n100,0.7\n200,0.8\n", {"column": "acc", "run": "row"}, [0.7, 0.8]),
    ("train_time.csv", "seed,time,acc\n0,10,0.7\n1,11,0.8\n2,12,0.8\n3,13,0.7\n", {"column": "acc"}, [0.7, 0.8, 0.8, 0.7]),
    ("german.csv", "seed;acc\n0;0,931\n1;0,9\n", {"column": "acc"}, [0.931, 0.9]),
    ("german_percent.csv", "seed;acc\n0;93,1%\n1;92,95%\n", {"column": "acc"}, [93.1, 92.95]),
    ("german_asked.csv", "seed\tppl\n0\t12,125\n1\t13,250\n", {"column": "ppl", "decimal": ","}, [12.125, 13.25]),
    ("german_one_column.csv", "val_loss\n3,281\n3,279\n", {"decimal": ","}, [3.281, 3.279]),
    ("german_quoted.csv", 'seed,acc\n0,"0,931"\n1,"0,93"\n', {"column": "acc"}, [0.931, 0.93]),
    ("drop.csv", "seed,acc\n0,0.93\n1,0.92\nMean,0.925\nstd,0.005\n", {"column": "acc", "drop_rows": ["mean", "std"]}, [0.93, 0.92]),
    ("keep.csv", "name,acc\nmin,0.93\nb,0.92\n", {"column": "acc", "keep_rows": ["min"]}, [0.93, 0.92]),
    ("wide.csv", "model,seed0,seed1,seed2,mean\nA,0.93,0.92,0.94,0.93\n", {"column": "seed*"}, [0.93, 0.92, 0.94]),
    ("wide_where.csv", "model,run 1,run 2\nA,0.93,0.92\nB,0.5,0.6\n", {"column": "run [0-9]", "where": ["model=B"]}, [0.5, 0.6]),
    ("tidy.csv", "seed,metric,value\n0,acc,0.9\n0,loss,3.2\n1,acc,0.8\n1,loss,3.3\n", {"column": "acc"}, [0.9, 0.8]),
    ("models.csv", "model,seed,acc\nA,0,0.9\nA,1,0.8\nB,0,0.7\nB,1,0.6\n", {"column": "acc", "where": ["model=B"]}, [0.7, 0.6]),
    ("last.csv", CURVES, {"column": "test_acc", "at": "last"}, [0.80, 0.79]),
    ("step.csv", CURVES, {"column": "test_acc", "at": "2"}, [0.78, 0.74]),
    ("best.csv", CURVES, {"column": "test_acc", "at": "max:val_acc"}, [0.78, 0.79]),
    ("least.csv", CURVES, {"column": "test_acc", "at": "min:val_acc"}, [0.69, 0.70]),
    ("each.csv", "seed,epoch,acc\n0,1,0.7\n0,2,0.8\n1,1,0.75\n", {"column": "acc", "at": "last:each"}, [0.8, 0.75]),
    ("diverging.csv", "seed,step,loss\n0,1,3\n0,2,nan\n1,1,3\n1,2,2\n", {"column": "loss", "at": "last"}, [None, 2]),
    ("sparse.csv", LIGHTNING, {"column": "val_loss", "at": "last"}, [3.28]),
    ("epoch.csv", LIGHTNING, {"column": "val_loss", "at": "epoch=0"}, [3.9]),
    ("stopped_early.csv", "seed,epoch,acc\n0,12,0.9\n1,9,0.8\n2,14,0.7\n", {"column": "acc", "run": "seed"}, [0.9, 0.8, 0.7]),
    ("one_epoch.csv", "seed,epoch,acc\n0,10,0.9\n1,10,0.8\n", {"column": "acc"}, [0.9, 0.8]),
    ("best_epoch.csv", "seed,best_epoch,acc\n0,12,0.9\n1,9,0.8\n", {"column": "acc"}, [0.9, 0.8]),
    ("tensorboard.csv", TENSORBOARD_CSV, {"at": "last"}, [3.28]),
    ("wandb_runs.csv", WANDB, {"column": "val/loss"}, [3.281, None, 3.28]),
    ("wandb_crash_counts.csv", WANDB, {"column": "val/loss", "diverged": ["crashed"]}, [3.281, None, 3.28, None]),
    ("wandb_chart.csv", CHART, {"at": "last"}, [3.28, 3.29]),
    ("wandb_chart_step.csv", CHART, {"column": "val/loss", "at": "0"}, [4.5, 4.6]),
    ("mlflow.csv", MLFLOW, {"column": "val/loss"}, [3.281, 3.279]),
    ("mlflow_full_name.csv", MLFLOW, {"column": "metrics.val/loss"}, [3.281, 3.279]),
    ("mlflow_ui.csv", MLFLOW_UI, {"column": "val/loss"}, [3.281, 3.279]),
    ("mlflow_history.csv", MLFLOW_HISTORY, {"column": "loss", "at": "last"}, [3.28, 3.27]),
    ("mlflow_history.json", json.dumps({"metrics": [{"key": "loss", "value": 4.5, "timestamp": 1, "step": 0}, {"key": "loss", "value": 3.28, "timestamp": 2, "step": 1}]}), {"column": "loss", "at": "last"}, [3.28]),
    ("numbers.json", "[3.279, null, NaN, 3.28]", {}, [3.279, None, 3.28]),
    ("records.json", '[{"seed": 0, "val": {"loss": 3.279}}, {"seed": 1, "val": {"loss": 3.281}}, {"seed": 2}]', {"column": "val.loss"}, [3.279, 3.281]),
    ("runs.json", '{"model": "x", "runs": [{"seed": 0, "acc": 1}, {"seed": 1, "acc": 0.5}]}', {"column": "acc"}, [1, 0.5]),
    ("lines.jsonl", '{"seed": 0, "acc": 0.93}\n\n{"seed": 1, "acc": 9.2e-1}\n', {"column": "acc"}, [0.93, 0.92]),
    ("trainer_state.json", json.dumps({"best_metric": 3.2, "log_history": [{"epoch": 1.0, "loss": 4.0, "step": 10}, {"epoch": 1.0, "eval_loss": 3.5, "step": 10}, {"epoch": 2.0, "eval_loss": 3.28, "step": 20}]}), {"column": "eval_loss", "at": "last"}, [3.28]),
    ("eval_results.json", '{"eval_loss": 3.28, "epoch": 3.0}', {"column": "eval_loss"}, [3.28]),
    ("wide.json", '{"seed0": 0.93, "seed1": 0.92}', {"column": "seed*"}, [0.93, 0.92]),
    ("wandb-summary.json", '{"_timestamp":1.7e9,"_wandb":{"runtime":2},"_runtime":2,"_step":0,"val/loss":3.28}', {"column": "val/loss"}, [3.28]),
    ("results_2026-04-15T13-55-33.json", lm_eval(0.3), {"column": "hellaswag/acc_norm"}, [0.4]),
    ("results_2026-04-15T13-55-34.json", lm_eval(0.3), {"column": "gsm8k/exact_match,flexible-extract"}, [0.35]),
    ("results_old.json", '{"results": {"hellaswag": {"acc": 0.3, "acc_stderr": 0.1}}, "versions": {"hellaswag": 0}}', {"column": "hellaswag/acc"}, [0.3]),
]  # fmt: skip


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("name", "content", "options", "values"), READ, ids=[case[0] for case in READ])
def test_files_are_read_right(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], values: list[float | None]
) -> None:
    found = read_runs(written(tmp_path, name, content), **options)
    assert found.values == pytest.approx(tuple(values))
    assert [v is None for v in found.values] == [v is None for v in values]
    assert len(found.names) == len(values)
    assert not any("\n" in note for note in found.notes)


REFUSED: list[tuple[str, str | bytes, dict[str, Any], str]] = [
    ("longer.csv", "seed,acc\n0,0.93\n1,0.92,7\n", {}, r"line 3: 2 cell\(s\) expected, as in the first row, found 3"),
    ("shorter.csv", "seed,acc,loss\n0,0.93,1\n1,0.92\n", {"column": "acc"}, r"line 3: 3 cell\(s\) expected.*found 2"),
    ("german.csv", "val_loss\n3,281\n3,279\n", {}, "line 2: 1 cell.*found 2; if the comma is the decimal sign, say --decimal ,"),
    ("german_empty_column.csv", "val_loss,\n3,281\n", {"column": "val_loss"}, "say --decimal ,"),
    ("german_two.csv", "seed,acc\n0,0,931\n", {"column": "acc"}, "--decimal ,, and separate the cells by semicolons"),
    ("german_no_header.csv", "3,281\n3,279\n", {}, "no header above 3, 281.*--decimal ,"),
    ("nameless.csv", "a,,c\n1,2,3\n", {"column": "c"}, "a value in a column without a name"),
    ("thousands.csv", 'seed,ppl\n0,"1,234"\n1,"1,250"\n', {"column": "ppl"}, "is the comma in '1,234' a decimal sign\\? say --decimal ,"),
    ("thousands_point.csv", 'seed,ppl\n0,"1,234.5"\n', {"column": "ppl"}, "without thousands separators"),
    ("thousands_space.csv", "seed;ppl\n0;1 234.5\n", {"column": "ppl"}, "without thousands separators"),
    ("mixed_decimals.csv", "seed;acc\n0;0,93\n1;0.92\n", {"column": "acc"}, "decimal sign\\?"),
    ("point_for_thousands.csv", "acc;steps\n0,93;1.000\n0,92;2.000\n", {"column": "steps"}, "has points and another column commas; say --decimal"),
    ("asked_comma.csv", "seed;acc\n0;0.93\n", {"column": "acc", "decimal": ","}, "--decimal , was asked, and '0.93' has a point"),
    ("two_delimiters.csv", "a;b,c;d\n1;2,3;4\n", {}, "separated by comma or semicolon\\? say --delimiter"),
    ("percent_mixed.csv", "seed,acc\n0,93.1%\n1,0.93\n", {"column": "acc"}, "per cent sign in line 2 and none in line 3"),
    ("word.csv", "seed,acc\n0,0.93\n1,high\n", {"column": "acc"}, "line 3: a number is needed in 'acc', found 'high'; leave it empty"),
    ("hex.csv", "seed,acc\n0,0x1f\n", {"column": "acc"}, "a number is needed"),
    ("spread.csv", "model,acc\nA,0.93 ± 0.01\n", {"column": "acc"}, "a mean with its spread is no run"),
    ("mean.csv", "seed,acc\n0,0.93\n1,0.92\nMean,0.925\n", {"column": "acc"}, "line 4: 'mean' sums up runs and is not one; say --drop-rows 'mean'"),
    ("mean_std.csv", "stat,acc\nmean,0.93\nstd,0.01\n", {"column": "acc"}, "--drop-rows 'mean'"),
    ("mean_in_second.csv", "x,y,acc\na,run,0.93\nb,Average,0.92\n", {"column": "acc"}, "line 3: 'average' sums up"),
    ("unnamed_mean.csv", "seed,acc\n0,0.93\n1,0.92\n,0.925\n", {"column": "acc"}, "line 4: no seed, as in a row of means"),
    ("drop_typo.csv", PLAIN, {"column": "val_loss", "drop_rows": ["mena"]}, "--drop-rows mena: no row has it"),
    ("no_header.csv", "0,0.93\n1,0.92\n", {}, "no header above 0, 0.93; say --column and a number from 1 to 2"),
    ("no_header_name.csv", "0,0.93\n1,0.92\n", {"column": "acc"}, "no header"),
    ("number_names.csv", "1,2\n0.5,0.6\n", {"column": "2"}, "2: a column's name or a value\\? say --header or --no-header"),
    ("zero.csv", "0\n0.93\n0.92\n", {}, "line 1: 0: a column's name or a value\\? say --header or --no-header"),
    ("year.csv", "2023\n0.93\n0.92\n", {}, "--header or --no-header"),
    ("twice.csv", "seed,acc,acc\n0,0.9,0.8\n", {"column": "acc"}, "2 columns are called 'acc'"),
    ("near.csv", PLAIN, {"column": "Val_Loss"}, "no column 'Val_Loss'; did you mean 'val_loss'\\?; it has seed, val_loss"),
    ("far.csv", PLAIN, {"column": "bleu"}, "no column 'bleu'; it has seed, val_loss"),
    ("several.csv", "seed,acc,loss\n0,0.9,3\n", {}, "it has 3 columns; name one by --column: acc, loss"),
    ("wide.csv", "seed0,seed1,seed2\n0.93,0.92,0.94\n", {}, 'one row with seed0, seed1, seed2; if each is a run, say --column "seed\\*"'),
    ("folds.csv", "fold,acc\n1,0.93\n2,0.92\n", {"column": "acc"}, "the column 'fold' has 1, 2"),
    ("hours.csv", "hours,loss\n1,4\n2,3\n4,2\n8,1\n", {"column": "loss"}, "4 points of one training's curve \\(by 'hours'\\)"),
    ("rows_and_at.csv", CURVES, {"column": "test_acc", "at": "last", "run": "row"}, "leave one of them out"),
    ("sep.csv", "sep=;\nseed;acc\n0;0.93;1\n", {"column": "acc"}, "line 3: 2 cell"),
    ("dotted_twice.json", '{"a": {"b": 1}, "a.b": 2}', {"column": "a.b"}, "the key 'a.b' stands twice"),
    ("empty_object.json", "{}", {}, "no runs in it"),
    ("wide_rows.csv", "model,seed0,seed1\nA,0.93,0.92\nB,0.9,0.8\n", {"column": "seed*"}, "one row is expected where each column is a run, found 2"),
    ("wide_mean.csv", "seed0,seed1,seed_mean\n0.93,0.92,0.925\n", {"column": "seed*"}, "differ in more than a number"),
    ("wide_none.csv", "a,b\n1,2\n", {"column": "seed*"}, "no columns with a run each called 'seed\\*'"),
    ("curves.csv", CURVES, {"column": "test_acc"}, "3 rows of run '0', by 'epoch': points of a curve are not runs; say --at last"),
    ("one_curve.csv", "epoch,acc\n1,0.7\n2,0.8\n3,0.9\n", {}, "3 points of one training's curve \\(by 'epoch'\\) are one run; say --at last"),
    ("one_seeds_curve.csv", "seed,epoch,acc\n1,1,0.7\n1,2,0.8\n", {"column": "acc"}, "2 points of one training's curve"),
    ("two_in_a_row.csv", "step,acc\n1,0.7\n2,0.8\n1,0.75\n2,0.85\n", {"column": "acc"}, "points of one training's curve"),
    ("two_in_a_row_last.csv", "step,acc\n1,0.7\n2,0.8\n3,0.9\n1,0.75\n2,0.85\n", {"column": "acc", "at": "last"}, "two values at step 1, line 2 and line 5; say --run"),
    ("numbered_curve.csv", "run,epoch,acc\n1,1,0.7\n2,2,0.8\n3,3,0.9\n", {"column": "acc"}, "'epoch' differs from row to row: points of a curve\\?"),
    ("cut_short.csv", "seed,epoch,acc\n0,1,0.7\n0,2,0.8\n1,1,0.75\n", {"column": "acc", "at": "last"}, "run '0' ends at step 2 and run '1' at 1; say --at STEP, or --at last:each"),
    ("no_such_step.csv", CURVES, {"column": "test_acc", "at": "7"}, "run '0': no value at step 7; its steps are 1 to 3"),
    ("which_step.csv", LIGHTNING, {"column": "val_loss", "at": "1"}, "a step in which of epoch, step\\? say --at epoch=1"),
    ("odd_at.csv", CURVES, {"column": "test_acc", "at": "best"}, "last, last:each, STEP, COLUMN=STEP, max:COLUMN or min:COLUMN is expected"),
    ("best_of_what.csv", CURVES, {"column": "test_acc", "at": "max:f1"}, "--at max:f1: there is no single column 'f1'"),
    ("best_elsewhere.csv", "epoch,val,test\n1,0.9,\n2,0.8,0.7\n", {"column": "test", "at": "max:val"}, "has the best 'val' and no value beside it"),
    ("no_steps.csv", PLAIN, {"column": "val_loss", "at": "last"}, "no column of steps or epochs"),
    ("unlogged.csv", "step,loss\n1,3\n2,nan\n3,2\n4,nan\n", {"column": "loss", "at": "last"}, "not logged, or diverged\\?"),
    ("seeds_twice.csv", "optimizer,seed,acc\nsgd,0,0.9\nadam,0,0.8\n", {"column": "acc"}, "2 rows of run '0'"),
    ("seeds_twice_more.csv", "opt,seed,acc\nx,0,0.9\ny,0,0.8\nx,1,0.9\n", {"column": "acc"}, "2 rows of run '0'; say --where"),
    ("models.csv", "model,seed,acc\nA,0,0.9\nB,1,0.7\n", {"column": "acc"}, "the column 'model' has A, B, and runs of one recipe are expected; say --where"),
    ("metrics.csv", "seed,metric,value\n0,acc,0.9\n1,loss,3.2\n", {"column": "value"}, "'metric' has acc, loss"),
    ("metrics_other.csv", "seed,metric,value\n0,acc,0.9\n", {"column": "f1"}, "no metric 'f1' in the column 'metric'; it has acc"),
    ("where_odd.csv", PLAIN, {"column": "val_loss", "where": ["seed=9"]}, "no such row; the column has 0, 1, 2"),
    ("where_column.csv", PLAIN, {"column": "val_loss", "where": ["model=A"]}, "there is no single column 'model'"),
    ("run_odd.csv", PLAIN, {"column": "val_loss", "run": "trial"}, "--run trial: there is no single column 'trial'"),
    ("state_odd.csv", "name,state,acc\na,crashed,0.9\nb,sleeping,0.8\n", {"column": "acc"}, "line 3: the state 'sleeping' is unknown"),
    ("state_none.csv", "name,state,acc\na,crashed,0.9\nb,running,0.8\n", {"column": "acc"}, "no run is left: 1 row\\(s\\) with the state crashed left out"),
    ("diverged_odd.csv", PLAIN, {"column": "val_loss", "diverged": ["seed7"]}, "--count-as-diverged seed7: no run has this name or state"),
    ("states.csv", "seed,status,acc\n0,FINISHED,0.9\n1,ERROR,0.8\n", {"column": "acc"}, "the status 'error' is unknown"),
    ("quartiles.csv", "seed,acc\n0,0.9\n1,0.8\n75%,0.88\n", {"column": "acc"}, "'75%' sums up runs and is not one"),
    ("all_missing.csv", "seed,acc\n0,\n1,nan\n", {"column": "acc"}, "none of its 1 run\\(s\\) has a finite value of 'acc'"),
    ("tensorboard.csv", TENSORBOARD_CSV, {}, "3 points of one training's curve \\(by 'Step'\\) are one run"),
    ("wandb_chart.csv", CHART, {}, "2 rows of run 'sun - 1', by 'Step': points of a curve are not runs"),
    ("wandb_group.csv", CHART.replace("pond", "Group: pond"), {"at": "last"}, "'Group: pond' is the mean of a group, not a run"),
    ("wandb_mean.csv", CHART.replace('"3.29","3.29","3.29"', '"3.29","3.1","3.4"'), {"at": "last"}, "is a mean of points from 3.1 to 3.4"),
    ("wandb_chart_other.csv", CHART, {"column": "acc", "at": "last"}, "no column 'acc'"),
    ("wandb_same_names.csv", WANDB.replace("sun-2", "sun-1"), {"column": "val/loss"}, "2 rows of run 'brisk-sun-1'.*--run row"),
    ("wandb_dicts.csv", ",summary,config,name\n0,\"{'val/loss': 3.28}\",{},a\n", {"column": "val/loss"}, "the column 'summary' holds Python dicts"),
    ("mlflow_history.csv", MLFLOW_HISTORY, {"column": "loss"}, "points of a curve are not runs"),
    ("key_twice.json", '[{"acc": 0.9, "acc": 0.8}]', {"column": "acc"}, "not JSON: the key 'acc' stands twice in one object"),
    ("string.json", '[{"acc": "0.9"}]', {"column": "acc"}, "record 1: a number is needed in 'acc', found '0.9'; a number in JSON has no quotes"),
    ("true.json", '[{"acc": true}]', {"column": "acc"}, "a number is needed in 'acc', found 'True'"),
    ("list_in_record.json", '{"acc": [0.9, 0.8]}', {"column": "acc"}, "a list is no run's value"),
    ("lists.json", "[[0.9, 0.8], [0.7]]", {}, "a list of numbers, or of objects with a run each, is expected"),
    ("columns_of_json.json", '{"acc": {"0": 0.9, "1": 0.8}}', {"column": "acc"}, "no column 'acc'"),
    ("cut.json", '[{"acc": 0.9}, ', {}, "not JSON"),
    ("cut.jsonl", '{"acc": 0.9}\n{"acc": \n', {}, "not JSON"),
    ("empty_list.json", "[]", {}, "no runs in it"),
    ("deep.json", "[" * 100_000, {}, "not JSON"),
    ("long.json", "[" + "9" * 5000 + "]", {}, "not JSON"),
    ("curve.json", '[{"step": 1, "acc": 0.7}, {"step": 2, "acc": 0.8}]', {"column": "acc"}, "points of one training's curve"),
    ("results_1.json", lm_eval(0.3), {"column": "gsm8k/exact_match"}, "exists under several filters; say --column with one of gsm8k/exact_match,strict-match, gsm8k/exact_match,flexible-extract"),
    ("results_2.json", lm_eval(0.3), {"column": "hellaswag/acc_stderr,none"}, "an error over a task's items, not a run's value"),
    ("results_3.json", lm_eval(0.3), {}, "name one by --column: gsm8k/exact_match,strict-match"),
    ("results_4.json", lm_eval(0.3), {"column": "acc_norm"}, "no column 'acc_norm'"),
    ("results_5.json", lm_eval(0.3), {"column": "*/acc,none"}, "no columns with a run each"),
    ("book.xlsx", b"PK\x03\x04\x14\x00", {}, "looks like an Excel workbook or another zip archive; export it as CSV"),
    ("table.parquet", b"PAR1\x15\x04", {}, "looks like Parquet"),
    ("table.pkl", b"\x80\x04\x95\x00", {}, "looks like a Python pickle"),
    ("paper.pdf", b"%PDF-1.7", {}, "looks like PDF"),
    ("table.csv.gz", b"\x1f\x8b\x08\x00", {}, "looks like a gzip archive"),
    ("mlflow.db", b"SQLite format 3\x00", {}, "looks like an SQLite database"),
    ("page.csv", "<!DOCTYPE html>\n<html>", {}, "looks like a web page"),
    ("empty.csv", "", {}, "there is nothing in it"),
    ("spaces.csv", " \n\n", {}, "there is nothing in it"),
    ("comments.csv", "# a\n# b\n", {}, "nothing in it but comments"),
    ("header_only.csv", "seed,acc\n", {}, "a header and no rows: seed, acc"),
    ("garbage.bin", bytes(range(256)), {}, "not text but binary data"),
    ("utf16_bare.csv", PLAIN.encode("utf-16-le"), {}, "not text but binary data"),
    ("quote.csv", 'seed,acc\n0,"0.9\n', {"column": "acc"}, "not a CSV file"),
    ("delimiter.csv", PLAIN, {"delimiter": ";;"}, "not a CSV file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "words"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_unclear_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], words: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(BadInput, match=words) as caught:
        read_runs(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 400


def refused(paths: Path | list[Path], words: str, **options: Any) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        read_runs(paths, **options)
    assert "\n" not in str(caught.value)


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    found = read_runs(written(tmp_path, "wandb.csv", WANDB), column="val/loss")
    assert (found.format, found.column) == ("W&B runs", "val/loss")
    assert found.names == ("brisk-sun-1", "brisk-sun-2", "brisk-sun-3")
    words = " | ".join(found.notes)
    assert "1 row(s) with the State crashed left out; --count-as-diverged crashed" in words
    assert "taken in the order of 'Created', the oldest first" in words
    assert "1 run(s) gave no finite value and count as diverged: brisk-sun-2" in words
    found = read_runs(written(tmp_path, "mlflow.csv", MLFLOW), column="val/loss")
    assert (found.format, found.names) == ("MLflow", ("seed-0", "seed-1"))
    assert any("1 run(s) without a value left out: seed-2" in note for note in found.notes)
    assert "params.lr has 2 values over these runs: 0.1, 0.2" in found.notes
    found = read_runs(written(tmp_path, "seeds.csv", "seed,acc\n3,0.9\n4,0.8\n"), column="acc")
    assert (found.names, found.format, found.notes, found.percent) == (("3", "4"), "CSV", (), False)
    found = read_runs(written(tmp_path, "sorted.csv", "0.5\n0.6\n0.7\n0.8\n0.9\n"))
    assert "sorted" in found.notes[0]
    assert found.names == ("line 1", "line 2", "line 3", "line 4", "line 5")
    assert (
        "not UTF-8" in read_runs(written(tmp_path, "latin.csv", "é,ü\na,0.5\n".encode("latin-1")), column="ü").notes[0]
    )
    found = read_runs(written(tmp_path, "wide.csv", "seed0,seed1\n0.5,0.6\n"), column="seed*")
    assert (found.names, found.column) == (("seed0", "seed1"), "seed*")
    assert "summary" in read_runs(written(tmp_path, "m.csv", "seed,acc_mean\n0,0.5\n"), column="acc_mean").notes[0]


def test_several_files_hold_a_run_each(tmp_path: Path) -> None:
    for seed, value in ((1, 0.31), (2, 0.32), (10, 0.33)):
        written(tmp_path, f"lm/seed{seed}/results_2026-04-15T13-55-33.json", lm_eval(value))
    found = read_runs(tmp_path / "lm", column="hellaswag/acc")
    assert found.values == (0.31, 0.32, 0.33)
    assert found.names[2] == "seed10/results_2026-04-15T13-55-33.json"
    assert sum("stderr is over the items" in note for note in found.notes) == 1
    files = sorted((tmp_path / "lm").rglob("*.json"))
    assert len(read_runs(files, column="hellaswag/acc").values) == 3
    written(tmp_path, "lm/seed3/results_x.json", files[0].read_bytes())
    refused(tmp_path / "lm", "the same as .* byte for byte: one run counts once", column="hellaswag/acc")
    other = [
        written(tmp_path, f"same/{i}/results_{i}.json", lm_eval(0.3 + i / 100, model="out/step-9")) for i in range(2)
    ]
    refused(other, 'evaluations of one model, "out/step-9": one training is one run', column="hellaswag/acc")
    assert read_runs(other, column="hellaswag/acc", each_file=True).values == (0.3, 0.31)
    shots = written(tmp_path, "shots/results_1.json", lm_eval(0.5, **{"n-shot": {"hellaswag": 10}}))
    refused(
        [files[0], shots],
        "were evaluated differently: 0 shots, version 1.0, limit None, 10 shots",
        column="hellaswag/acc",
    )
    curves = [written(tmp_path, f"tb/run_{i}.csv", TENSORBOARD_CSV.replace("3.28", f"3.2{i}")) for i in range(3)]
    found = read_runs(curves, at="last")
    assert (found.values, found.names) == ((3.20, 3.21, 3.22), ("run_0.csv", "run_1.csv", "run_2.csv"))
    refused(curves, "3 points of one training's curve")
    short = written(tmp_path, "tb/run_9.csv", TENSORBOARD_CSV.rsplit("\n", 2)[0])
    refused([*curves, short], "run 'run_0.csv' ends at step 2 and run 'run_9.csv' at 1", at="last")
    assert read_runs([*curves, short], at="last:each").values[-1] == 3.9
    assert read_runs([*curves, short], at="last", drop_rows=["run_9.csv"]).values == (3.20, 3.21, 3.22)
    assert read_runs([*curves, short], at="last", diverged=["run_9.csv"]).values == (3.20, 3.21, 3.22, None)
    refused([*curves, short], "no file is called 'run_8.csv'", at="last", drop_rows=["run_8.csv"])
    table = written(tmp_path, "table.csv", PLAIN)
    refused([table, curves[0]], "3 runs, and one run a file is expected", column="val_loss")
    again = read_runs([table, tmp_path / "tb" / ".." / "table.csv"], column="val_loss")
    assert again.values == tuple(LOSSES)
    assert "by another name; it counts once" in again.notes[0]


def test_a_folder_of_wandb_runs_is_read_once_a_run(tmp_path: Path) -> None:
    for i, value in enumerate(("3.281", '"NaN"', "3.279")):
        text = f'{{"_timestamp": {i}.5, "_wandb": {{"runtime": 2}}, "_step": 9, "val/loss": {value}}}'
        written(tmp_path, f"wandb/run-2026050{i}_100000-abc{i}/files/wandb-summary.json", text)
    (tmp_path / "wandb/latest-run").symlink_to(tmp_path / "wandb/run-20260502_100000-abc2")
    found = read_runs(tmp_path / "wandb", column="val/loss")
    assert found.values == (3.281, None, 3.279)
    assert found.names[0] == "run-20260500_100000-abc0"
    files = sorted(tmp_path.glob("wandb/*/files/wandb-summary.json"))
    assert len(files) == 4
    assert len(read_runs(files, column="val/loss").values) == 3
    written(tmp_path, "wandb/run-4/files/wandb-summary.json", '{"_wandb": {"runtime": 0}, "_step": 1}')
    refused(tmp_path / "wandb", "run-4/files/wandb-summary.json: there is no column 'val/loss'", column="val/loss")
    assert read_runs(tmp_path / "wandb", column="val/loss", drop_rows=["run-4"]).values == (3.281, None, 3.279)
    assert read_runs(tmp_path / "wandb", column="val/loss", where=["file=run-2026*"]).values == (3.281, None, 3.279)


def test_a_folder_or_file_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(tmp_path, "a folder without wandb-summary.json")
    refused([], "no file of runs was named")
    refused(tmp_path / "none.csv", "none.csv: there is no such file")
    refused(tmp_path / "two\nlines.csv", "there is no such file")
    refused(tmp_path / "nul\0.csv", "cannot be read|no such file")
    refused(tmp_path / ("x" * 300), "cannot be read")
    written(tmp_path, "results_1.json", lm_eval(0.3))
    written(tmp_path, "wandb-summary.json", '{"_wandb": {}}')
    refused(tmp_path, "a folder with files of .* and of .*; name the files themselves")
    secret = written(tmp_path, "secret.csv", PLAIN)
    secret.chmod(0)
    if not os.access(secret, os.R_OK):
        refused(secret, "cannot be read: Permission denied")
    big = written(tmp_path, "big.csv", PLAIN)
    monkeypatch.setattr("openassay.run_files.tables.MOST_BYTES", 10)
    refused(big, "big.csv: larger than 0 MB; keep one row a run")


def test_what_mlflow_itself_writes_is_read(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("e", artifact_location=str(tmp_path / "artifacts"))
    for i, (status, value) in enumerate(
        [("FINISHED", 3.281), ("FAILED", 9.0), ("FINISHED", math.inf), ("FINISHED", 3.279), ("KILLED", None)]
    ):
        run = client.create_run(experiment, start_time=1_790_000_000_000 + 1000 * i, run_name=f"seed-{i}")
        client.log_param(run.info.run_id, "seed", i)
        for step in range(3):
            if value is not None:
                client.log_metric(run.info.run_id, "val/loss", value + 2 - step, step=step)
        client.set_terminated(run.info.run_id, status)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        mlflow.search_runs([experiment]).to_csv(tmp_path / "runs.csv", index=False)
        mlflow.search_runs([experiment]).to_csv(tmp_path / "indexed.csv")
    finally:
        mlflow.set_tracking_uri("")
    for name in ("runs.csv", "indexed.csv"):
        found = read_runs(tmp_path / name, column="val/loss")
        assert found.values == pytest.approx((3.281, None, 3.279))
        assert found.names == ("seed-0", "seed-2", "seed-3")
        assert any("status failed left out" in note for note in found.notes)


def test_event_files_are_read_by_tensorboard_itself(tmp_path: Path) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    events = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    summaries = pytest.importorskip("tensorboard.compat.proto.summary_pb2")

    def write(folder: str, points: list[tuple[int, float]], tag: str = "val/loss") -> None:
        file = writer.EventFileWriter(str(tmp_path / folder))
        for step, value in points:
            summary = summaries.Summary(value=[summaries.Summary.Value(tag=tag, simple_value=value)])
            file.add_event(events.Event(wall_time=1.79e9 + step, step=step, summary=summary))
        file.close()

    for i in (0, 1, 10):
        write(f"logs/run_{i}", [(step, 4.0 - step - i / 4) for step in range(3)])
    refused(tmp_path / "logs", "points of one training's curve", column="val/loss")
    found = read_runs(tmp_path / "logs", column="val/loss", at="last")
    assert (found.values, found.names, found.format) == ((2.0, 1.75, -0.5), ("run_0", "run_1", "run_10"), "TensorBoard")
    assert read_runs(tmp_path / "logs" / "run_0", column="val/loss", at="1").values == (3.0,)
    refused(tmp_path / "logs", "no column 'loss'; did you mean 'val/loss'", column="loss", at="last")
    write("logs/run_1", [(2, 9.0)])
    refused(tmp_path / "logs", "step 2 of 'val/loss' stands twice", column="val/loss", at="last")
    for split in ("train", "validation"):
        write(f"keras/run_0/{split}", [(0, 1.0), (1, 0.5)], "epoch_loss")
        write(f"keras/run_1/{split}", [(0, 1.0), (1, 0.25)], "epoch_loss")
    refused(tmp_path / "keras", "the folders train, validation are splits of one run", column="epoch_loss", at="last")
    options: dict[str, Any] = {"column": "epoch_loss", "at": "last", "where": ["file=*validation"]}
    assert read_runs(tmp_path / "keras", **options).values == (0.5, 0.25)


def test_event_files_without_tensorboard_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboard.backend.event_processing.event_accumulator"):
        monkeypatch.setitem(sys.modules, name, None)
    written(tmp_path, "run_0/events.out.tfevents.1790000000.host", b"\x18\x00")
    refused(tmp_path, "pip install tensorboard", column="val/loss")


def runs(*values: float | None, percent: bool = False) -> RunValues:
    return RunValues(values=values, names=tuple("abcdefgh"[: len(values)]), column="acc", format="CSV", percent=percent)


def test_fractions_are_not_judged_against_per_cents() -> None:
    for found, published, option in (
        (runs(0.931, None, 0.929), 93.0, "--unit fraction"), (runs(93.1, 92.9), 0.93, "--unit percent"),
        (runs(93.1, 92.9, percent=True), 0.93, "--unit percent"), (runs(0.1, 0.1), 93.0, "--unit fraction"),
        (runs(0.93, 92.9, 0.92), 0.93, "fractions and per cents in one column\\?"),
        (runs(0.93, 92.9, 0.92), 93.0, "fractions and per cents in one column\\?"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=option) as caught:
            check_scale(found, published)
        assert "\n" not in str(caught.value)
        assert check_scale(found, published, "same") is found
    for found, published in (
        (runs(0.931, 0.929), 0.93), (runs(93.1, 92.9), 93.0), (runs(0.98, 0.99), 1.05), (runs(3.28, 3.3), 3.27), (runs(0.5, 0.7, percent=True), 0.6),
        (runs(1.02, 1.01), 0.99), (runs(250.0, 260.0), 0.9), (runs(-0.1, 0.2), 3.0), (runs(0.5, 30.0), 0.5), (runs(0.9, 0.8), 250.0), (runs(None), 1.0),
    ):  # fmt: skip
        assert check_scale(found, published) is found
    assert check_scale(runs(0.931, None), 93.0, "fraction").values == pytest.approx((93.1, None))
    done = check_scale(runs(93.1, None, percent=True), 0.93, "percent")
    assert (done.values, done.percent) == ((pytest.approx(0.931), None), False)
    assert "divided by 100" in done.notes[-1]
    assert check_scale(runs(93.1), 93.0, "percent").values == (93.1,)
    assert check_scale(runs(0.8), 0.7, "percent").values == (0.8,)
    assert check_scale(runs(0.931), 0.93, "fraction").values == (0.931,)
    for found, unit in (
        (runs(93.1), "fraction"),
        (runs(0.5, percent=True), "fraction"),
        (runs(-1.0), "percent"),
        (runs(300.0), "percent"),
    ):
        with pytest.raises(BadInput, match=f"--unit {unit}: "):
            check_scale(found, 0.93, unit)  # type: ignore[arg-type]


def test_a_small_file_that_makes_a_large_table_is_refused(tmp_path: Path) -> None:
    lines = "".join(f'{{"k{i}": 1}}\n' for i in range(5000))
    refused(written(tmp_path, "a.json", lines), "5000 rows and 5000 columns are more than 20000000 cells", column="k1")
    names = ",".join(f"run{i} - m{i}" for i in range(1000))
    rows = "".join(f"{i}{',1' * 1000}\n" for i in range(30))
    refused(
        written(tmp_path, "a.csv", f"Step,{names}\n{rows}"), "30000 rows and 1002 columns are more than", column="m1"
    )
