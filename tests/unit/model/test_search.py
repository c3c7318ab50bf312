"""Where modules are looked for, and which of two wins."""

from __future__ import annotations

from pathlib import Path

from kraken.model.loading import default_collection_paths, find_modules, load_all

MODULE = "kraken_module: 1\nname: {name}\nvariables:\n  {name}: {{values: [A]}}\n"


def put(path: Path, collection: str, *names: str, text: str = MODULE) -> Path:
    directory = path.joinpath("ansible_collections", *collection.split("."), "extensions", "kraken")
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_text(text.format(name=Path(name).stem))
    return path


def test_modules_of_every_collection_are_found_in_the_order_of_the_paths(tmp_path: Path) -> None:
    first = put(put(tmp_path / "1", "b.x", "m2.yml", "m1.yaml", "readme.md"), "a.y", "m3.yml")
    second = put(tmp_path / "2", "a.a", "m0.yml")

    found = [(file.name, collection) for file, collection in find_modules([first, second])]

    assert found == [("m3.yml", "a.y"), ("m1.yaml", "b.x"), ("m2.yml", "b.x"), ("m0.yml", "a.a")]


def test_a_path_may_itself_be_an_ansible_collections_directory(tmp_path: Path) -> None:
    put(tmp_path, "a.b", "m.yml")

    assert find_modules([tmp_path / "ansible_collections"]) == find_modules([tmp_path])
    assert len(find_modules([tmp_path])) == 1


def test_of_a_collection_on_two_paths_the_first_counts_whole(tmp_path: Path) -> None:
    put(tmp_path / "1", "a.b", "m1.yml")
    put(tmp_path / "2", "a.b", "m1.yml", "m2.yml")
    paths = [tmp_path / "1", tmp_path / "2", tmp_path / "1"]

    catalog, errors = load_all(paths)

    assert errors == []
    assert [m.file.is_relative_to(tmp_path / "1") for m in catalog.modules.values()] == [True]


def test_paths_and_collections_without_modules_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "1" / "ansible_collections" / "a" / "b").mkdir(parents=True)
    (tmp_path / "1" / "ansible_collections" / "a" / "b.info").write_text("")
    (tmp_path / "1" / "ansible_collections" / "notes.txt").write_text("")

    catalog, errors = load_all([tmp_path / "1", tmp_path / "missing"])

    assert (list(catalog.modules), errors) == ([], [])


def test_a_bad_module_in_one_collection_does_not_touch_the_others(tmp_path: Path) -> None:
    put(tmp_path, "a.bad", "bad.yml", text="kraken_module: 1\n")
    put(tmp_path, "b.good", "good.yml")

    catalog, errors = load_all([tmp_path])

    assert catalog.modules["good"].collection == "b.good"
    assert [error.file for error in errors] == [
        str(tmp_path / "ansible_collections/a/bad/extensions/kraken/bad.yml")
    ]


def test_a_directory_that_is_a_circle_of_links_is_an_error_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, "b.good", "good.yml")
    loop = tmp_path / "ansible_collections" / "loop"
    loop.symlink_to(loop)

    catalog, errors = load_all([tmp_path])

    assert list(catalog.modules) == ["good"]
    assert [error.file for error in errors] == [str(loop)]


def test_without_a_setting_ansibles_default_paths_are_used() -> None:
    assert default_collection_paths({"HOME": "/home/ada"}) == [
        Path("/home/ada/.ansible/collections"),
        Path("/usr/share/ansible/collections"),
    ]


def test_the_setting_of_ansible_is_honoured() -> None:
    env = {"HOME": "/home/ada", "ANSIBLE_COLLECTIONS_PATH": "~/mine::/srv/theirs:~"}

    assert default_collection_paths(env) == [
        Path("/home/ada/mine"),
        Path("/srv/theirs"),
        Path("/home/ada"),
    ]
