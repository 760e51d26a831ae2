"""Suites that several implementations of one protocol have to pass."""

import pytest

pytest.register_assert_rewrite("tests.contract.store", "tests.contract.served_store")
