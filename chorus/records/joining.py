"""The one join of tables: the rows of a shard's samples in several of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from chorus.errors import BadInput, StaleResults
from chorus.pipeline import maker
from chorus.records.keys import SampleKey, ShardKey
from chorus.records.results_tree import ResultsTree
from chorus.records.staleness import difference, made_from
from chorus.records.tables import Table, read_settings, read_table

Columns = Mapping[str, Collection[str]]
"""The columns to read of each table, by its name; all of a table that is not there."""


def read_tables(
    tree: ResultsTree,
    shard: ShardKey,
    names: Sequence[str],
    columns: Columns | None = None,
    optional: Collection[str] = (),
) -> dict[str, Table]:
    """The tables of a shard by name. BadInput, which names the command, for one that is missing,
    unless it is `optional`; BadInput for one that is damaged."""
    tables = {}
    for name in names:
        path = tree.table(name, shard)
        if path.is_file():
            tables[name] = read_table(path, name, (columns or {}).get(name))
        elif name not in optional:
            raise BadInput(f"{path} does not exist; run chorus {maker(name).name} first.")
    return tables


def check_origins(tree: ResultsTree, shard: ShardKey, tables: Mapping[str, Table]) -> None:
    """StaleResults, which names the command, if one of a shard's tables was made from another state
    of a table than the one that is there, be that one of these or not."""
    for name, table in tables.items():
        for source in made_from(name, table.settings):
            path = tree.table(source, shard)
            if source in tables:
                now = tables[source].settings
            elif path.is_file():
                now = read_settings(path)
            else:
                continue
            check_origin(tree.table(name, shard), name, table.settings, source, now)


def check_origin(path: Path, name: str, settings: Mapping, source: str, now: dict) -> None:
    """StaleResults, which names the command, if a table of these settings was made from another
    state of the table `source` than `now`."""
    changes = difference(settings.get(f"from {source}", {}), now)
    if changes:
        raise StaleResults(
            f"{path} was made from {source} of other settings ({'; '.join(changes[:3])}); run "
            f"chorus {maker(name).name} --overwrite."
        )


def joined(
    shard: ShardKey, tables: Mapping[str, Table], first: str
) -> Iterator[tuple[SampleKey, dict[str, dict | None]]]:
    """The samples of the table `first`, rising, each with its row in every table, None where it has
    none."""
    for index in sorted(tables[first].rows):
        yield SampleKey(*shard, index), rows_of(index, tables)


def rows_of(index: int, tables: Mapping[str, Table]) -> dict[str, dict | None]:
    """One sample's row in every table, None where it has none."""
    return {name: table.rows.get(index) for name, table in tables.items()}
