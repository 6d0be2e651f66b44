import subprocess
import tomllib

import build_notebooks
import generated
import links
import nbformat
import pytest
import toy
from generated import AddressError, Repository
from hypothesis import given
from hypothesis import strategies as st

from coursekit.new import building

README = "# Course\n\n<!-- notebooks -->\nold\n<!-- /notebooks -->\n\nThe end.\n"


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Make a course built for nobody's repository, with outputs that no kernel could have made."""
    course = toy.course(tmp_path)
    (tmp_path / "README.md").write_text(README, encoding="utf-8")

    def execute(notebook, *args, **kwargs):
        for number, cell in enumerate(build_notebooks.code_cells(notebook), 1):
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"kept {number}\n")]

    monkeypatch.setattr(building, "execute", execute)
    build_notebooks.build(course, toy.NAME)
    monkeypatch.setattr(building, "execute", lambda *a, **k: pytest.fail("links must not run a notebook"))
    return course


def git(root, *arguments):
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def set_origin(root, url):
    git(root, "init", "-q")
    git(root, "remote", "add", "origin", url)


def everything(course):
    paths = [course.root / "README.md", course.root / "pyproject.toml", *course.paths(toy.NAME)]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize(
    "text",
    [
        "ada/engine",
        "https://github.com/ada/engine",
        "https://github.com/ada/engine/",
        "https://github.com/ada/engine.git",
        "https://token@github.com/ada/engine.git",
        "git@github.com:ada/engine.git",
        "ssh://git@github.com/ada/engine.git",
        " ada/engine\n",
    ],
)
def test_every_way_to_write_an_address_means_the_same_repository(text):
    assert generated.parse_address(text) == Repository("ada", "engine")


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,20}[A-Za-z0-9]", fullmatch=True)


@given(names, st.from_regex(r"[A-Za-z0-9._-]{1,20}[A-Za-z0-9_-]", fullmatch=True))
def test_addresses_survive_the_way_there_and_back(owner, name):
    repo = Repository(owner, name)
    for text in (repo.slug, repo.url, f"{repo.url}.git", f"git@github.com:{repo.slug}.git"):
        assert generated.parse_address(text) == repo


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "ada/",
        "/engine",
        "ada/engine/tree/main",
        "https://gitlab.com/ada/engine",
        "my_name/engine",
        "ada-/x",
    ]
    + ["ada/en gine", "/srv/git/engine.git", "ada/..", "http://github.com.evil.org/ada/engine", 'ada/x"y'],
)
def test_what_is_not_a_repository_is_refused_with_the_forms_that_are_understood(text):
    with pytest.raises(AddressError, match="owner/name"):
        generated.parse_address(text)


def test_nobody_can_own_the_placeholder_of_this_project():
    text = (toy.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    url = tomllib.loads(text)["project"]["urls"]["Repository"]
    repo = generated.repository(toy.ROOT)
    assert repo.url == url
    assert repo.name == "coursekit" or "_" not in repo.owner
    assert generated.with_repository(text, repo) == text


def test_links_rewrites_everything_and_runs_nothing(built, capsys):
    assert links.main(["ada/engine"], built) == 0
    text = everything(built)
    assert "YOUR_NAME" not in text
    # pyproject, twice; the table's row: Colab, Binder; in each copy Colab, Binder, source, the other, install
    assert text.count("ada/engine") == 2 + 2 + 2 * 5
    student = nbformat.read(built.paths(toy.NAME)[0], as_version=4)
    kept = [(cell.execution_count, cell.outputs[0].text) for cell in build_notebooks.code_cells(student)]
    assert kept == [(1, "kept 1\n"), (2, "kept 2\n"), (3, "kept 3\n")]
    assert '"coursekit @ git+https://github.com/ada/engine@v0.2.0"' in student.cells[1].source
    assert build_notebooks.check(built, [toy.NAME]) == []
    out = capsys.readouterr().out
    assert "links lead to https://github.com/ada/engine" in out
    assert "pyproject.toml written" in out


def test_only_the_setting_changes_in_pyproject(built):
    path = built.root / "pyproject.toml"
    before = path.read_text(encoding="utf-8")
    links.main(["ada/engine"], built)
    assert path.read_text(encoding="utf-8") == before.replace("YOUR_NAME/coursekit", "ada/engine")


def test_the_readme_gets_a_row_per_notebook_and_keeps_the_rest(built):
    links.main(["ada/engine"], built)
    readme = (built.root / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Course\n\n<!-- notebooks -->\n|")
    assert readme.endswith("<!-- /notebooks -->\n\nThe end.\n")
    assert "old" not in readme
    (row,) = [line for line in readme.splitlines() if "01-toy" in line]
    assert row.startswith("| 01 | [Toy](notebooks/01-toy.ipynb) | 5 | [![Open in Colab](")
    assert "(https://mybinder.org/v2/gh/ada/engine/v0.2.0?urlpath=lab/tree/notebooks/01-toy.ipynb)" in row


def test_a_tag_or_commit_goes_wherever_the_address_does_and_stays(built, capsys):
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert links.main(["ada/engine", "--ref", commit], built) == 0
    text = everything(built)
    assert "v0.2.0" not in text.replace("REF=v0.2.0", "")
    # ref and changelog; the table's row; in each copy Colab, Binder, source, the other copy, install
    assert text.count(commit) == 2 + 2 + 2 * 5
    assert links.main(["grace/compiler"], built) == 0
    assert everything(built) == text.replace("ada/engine", "grace/compiler")
    assert build_notebooks.check(built, [toy.NAME]) == []
    assert links.main(["ada/engine", "--ref", "a tag"], built) == 1
    assert "tag or commit" in capsys.readouterr().err
    assert links.main(["ada/engine", "--ref", "main"], built) == 1
    assert "'main' is a branch, which moves" in capsys.readouterr().err
    assert "ada/engine" not in everything(built)


def test_pictures_of_the_readme_get_their_whole_address_once():
    repo = Repository("ada", "engine", "v1")
    made = generated.with_images("![a](docs/panel.png) [b](docs/guide.md)", repo)
    assert made == "![a](https://raw.githubusercontent.com/ada/engine/v1/docs/panel.png) [b](docs/guide.md)"
    assert generated.with_images(made, repo) == made


def test_a_second_time_changes_nothing(built, capsys):
    links.main(["ada/engine"], built)
    before = everything(built)
    capsys.readouterr()
    assert links.main(["ada/engine"], built) == 0
    assert capsys.readouterr().out.startswith("nothing to change\n")
    assert everything(built) == before


def test_a_notebook_whose_master_changed_is_left_for_the_build(built, capsys):
    master = built.masters()[toy.NAME]
    master.write_text(master.read_text(encoding="utf-8").replace("seen on", "now on"), encoding="utf-8")
    before = built.paths(toy.NAME)[0].read_bytes()
    assert links.main(["ada/engine"], built) == 0
    assert built.paths(toy.NAME)[0].read_bytes() == before
    assert "run `make notebooks`" in capsys.readouterr().out


@pytest.mark.parametrize(
    "url", ["https://github.com/grace/compiler.git", "git@github.com:grace/compiler.git"]
)
def test_without_an_argument_gits_origin_decides(built, url):
    set_origin(built.root, url)
    assert links.main([], built) == 0
    assert generated.repository(built.root) == Repository(
        "grace", "compiler", generated.repository(toy.ROOT).ref
    )


def test_without_an_origin_the_message_says_what_to_do_and_nothing_changes(built, capsys):
    git(built.root, "init", "-q")
    before = everything(built)
    assert links.main([], built) == 1
    assert "no 'origin' here" in capsys.readouterr().err
    set_origin(built.root, "/srv/git/course.git")
    assert links.main([], built) == 1
    assert "git's origin: '/srv/git/course.git" in capsys.readouterr().err
    assert links.main(["not an address"], built) == 1
    assert "make links" not in capsys.readouterr().out
    assert everything(built) == before


def test_a_pyproject_without_the_setting_is_named():
    with pytest.raises(AddressError, match=r"must have one line .* it has 0"):
        generated.with_repository("[project]\n", Repository("ada", "engine"))
