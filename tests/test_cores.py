"""Cores: what the control group allows, whichever way it says so, and never more than there are."""

import os
from pathlib import Path

import pytest

from service.cores import in_group, usable_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


V2, QUOTA, PERIOD = "cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"


def group(folder: Path, files: dict[str, str]) -> Path:
    """What a control group's folder says."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_where_nothing_limits_them_all_cores_are_usable(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == ALL


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("100000 100000\n", 1),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("1000 100000\n", 1),
        ("200000 100000\n", min(2, ALL)),
        ("6400000 100000\n", ALL),
        ("max 100000\n", ALL),
        ("max\n", ALL),
        ("", ALL),
        ("100000 0\n", ALL),
        ("much 100000\n", ALL),
    ],
)
def test_version_2_of_control_groups_is_read(tmp_path: Path, content: str, cores: int) -> None:
    assert usable_cores(group(tmp_path, {V2: content})) == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        ("100000\n", "100000\n", 1),
        ("150000\n", "100000\n", 1),
        ("50000\n", "100000\n", 1),
        ("200000\n", "100000\n", min(2, ALL)),
        ("6400000\n", "100000\n", ALL),
        ("-1\n", "100000\n", ALL),
        ("100000\n", "0\n", ALL),
        ("", "", ALL),
    ],
)
def test_version_1_of_control_groups_is_read(tmp_path: Path, quota: str, period: str, cores: int) -> None:
    assert usable_cores(group(tmp_path, {QUOTA: quota, PERIOD: period})) == cores


def test_half_of_version_1_limits_nothing(tmp_path: Path) -> None:
    assert usable_cores(group(tmp_path, {QUOTA: "100000"})) == ALL


def test_version_2_goes_before_version_1(tmp_path: Path) -> None:
    both = group(tmp_path, {V2: "max 100000", QUOTA: "100000", PERIOD: "100000"})
    assert usable_cores(both) == ALL


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to cores")
def test_a_process_that_is_pinned_to_a_core_has_one(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "grouped"),
    [
        ({}, False),
        ({"sys/kernel/sched_autogroup_enabled": "1\n"}, True),
        ({"sys/kernel/sched_autogroup_enabled": "0\n", "self/cgroup": "0::/\n"}, False),
        ({"self/cgroup": "0::/\n", "cpu.weight": "100\n"}, True),
        ({"self/cgroup": "0::/system.slice/a.service\n", "system.slice/a.service/cpu.weight": "100\n"}, True),
        ({"self/cgroup": "0::/system.slice/a.service\n", "cpu.weight": "100\n"}, False),
        ({"self/cgroup": "1:cpu:/\n"}, False),
    ],
)
def test_a_group_has_its_own_share_where_the_kernel_says_so(
    tmp_path: Path, files: dict[str, str], grouped: bool
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert in_group(tmp_path, tmp_path) is grouped
