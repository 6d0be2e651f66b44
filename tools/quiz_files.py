"""The quizzes for learning platforms: one QTI 2.1 package, and one file of Moodle XML."""

import io
import string
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from build_notebooks import Course

from coursekit import exercises
from coursekit._core import courses, texts
from coursekit.exercises.quizzes import Question, Quiz
from coursekit.new import masters

PACKAGE, MOODLE = "quizzes-qti21.zip", "quizzes-moodle.xml"
QTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
QTI_FILE = f"{QTI} http://www.imsglobal.org/xsd/qti/qtiv2p1/imsqti_v2p1.xsd"
CP = "http://www.imsglobal.org/xsd/imscp_v1p1"
CP_FILE = f"{CP} http://www.imsglobal.org/xsd/qti/qtiv2p1/qtiv2p1_imscpv1p2_v1p0.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
LETTERS = string.ascii_uppercase
LONGEST_TITLE = 60  # characters of a question that its name in a list repeats
STAMP = (2026, 1, 1, 0, 0, 0)  # of every file in the package: the same quizzes make the same package


def write(folder: Path, course: Course) -> list[Path]:
    """Write the package and the Moodle file of all quizzes to ``folder``; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    quizzes = dict(titled(course))
    paths = [folder / PACKAGE, folder / MOODLE]
    for path, content in zip(paths, (package(quizzes), moodle(quizzes)), strict=True):
        path.write_bytes(content)
    return paths


def titled(course: Course) -> Iterator[tuple[str, Quiz]]:
    """Yield each quiz with its notebook's number and title, in the order of the course."""
    known = courses.files(courses.QUIZ)
    for name, path in course.masters().items():
        id = masters.number(name) or name
        if id in known:
            yield f"{id} {masters.summary(masters.read(path))[0]}".strip(), exercises.quiz(id)


def package(quizzes: dict[str, Quiz]) -> bytes:
    """Return the QTI package: a manifest, a test for each quiz, an item for each question."""
    files = {}
    for title, quiz in quizzes.items():
        for number, question in enumerate(quiz.questions, 1):
            files[f"items/{name(quiz, number)}.xml"] = item(quiz, number, question)
        files[f"tests/quiz-{quiz.id}.xml"] = test(title, quiz)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, tree in {"imsmanifest.xml": manifest(quizzes), **files}.items():
            archive.writestr(zipfile.ZipInfo(path, STAMP), written(tree), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def name(quiz: Quiz, number: int) -> str:
    """Return how the files call a question."""
    return f"quiz-{quiz.id}-{number}"


def short(question: Question) -> str:
    """Return the question's beginning, for lists."""
    text = texts.plain(question.text).replace("`", "")
    return text if len(text) <= LONGEST_TITLE else text[:LONGEST_TITLE].rsplit(" ", 1)[0] + " …"


def item(quiz: Quiz, number: int, question: Question) -> Element:
    """Return a question as an assessment item; what is picked shows why it is right or wrong."""
    many = "multiple" if question.several else "single"
    root = _root("assessmentItem", identifier=name(quiz, number), title=short(question))
    root.attrib |= {"adaptive": "false", "timeDependent": "false"}
    kind = {"cardinality": many, "baseType": "identifier"}
    response = _under(root, "responseDeclaration", identifier="RESPONSE", **kind)
    correct = _under(response, "correctResponse")
    for letter, choice in zip(LETTERS, question.choices, strict=False):
        if choice.right:
            _under(correct, "value").text = letter
    score = _under(root, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float")
    _under(_under(score, "defaultValue"), "value").text = "0"
    _under(root, "outcomeDeclaration", identifier="FEEDBACK", **kind)
    asked = _under(_under(root, "itemBody"), "choiceInteraction", responseIdentifier="RESPONSE")
    asked.attrib |= {"shuffle": "true", "maxChoices": "0" if question.several else "1"}
    asked.append(_marked("prompt", question.title))
    for letter, choice in zip(LETTERS, question.choices, strict=False):
        asked.append(_marked("simpleChoice", choice.text, identifier=letter))
    _processing(root)
    for letter, choice in zip(LETTERS, question.choices, strict=False):
        why = _under(root, "modalFeedback", outcomeIdentifier="FEEDBACK", identifier=letter, showHide="show")
        why.append(_marked("p", choice.outcome))
    return root


def _processing(root: Element) -> None:
    """Give the item its rules: 1 for exactly the right choices, and the picked ones as feedback."""
    rules = _under(root, "responseProcessing")
    condition = _under(_under(rules, "responseCondition"), "responseIf")
    match = _under(condition, "match")
    _under(match, "variable", identifier="RESPONSE")
    _under(match, "correct", identifier="RESPONSE")
    _under(_under(condition, "setOutcomeValue", identifier="SCORE"), "baseValue", baseType="float").text = "1"
    _under(_under(rules, "setOutcomeValue", identifier="FEEDBACK"), "variable", identifier="RESPONSE")


def test(title: str, quiz: Quiz) -> Element:
    """Return a quiz as an assessment test that refers to its items."""
    root = _root("assessmentTest", identifier=f"quiz-{quiz.id}", title=title)
    modes = {"navigationMode": "nonlinear", "submissionMode": "individual"}
    part = _under(root, "testPart", identifier="part", **modes)
    section = _under(part, "assessmentSection", identifier="section", title=title, visible="true")
    for number, _ in enumerate(quiz.questions, 1):
        id = name(quiz, number)
        _under(section, "assessmentItemRef", identifier=id, href=f"../items/{id}.xml")
    return root


def manifest(quizzes: dict[str, Quiz]) -> Element:
    """Return the package's table of contents."""
    root = Element("manifest", {"xmlns": CP, "xmlns:xsi": XSI, "xsi:schemaLocation": CP_FILE})
    root.set("identifier", "coursekit-quizzes")
    about = SubElement(root, "metadata")
    SubElement(about, "schema").text = "QTIv2.1 Package"
    SubElement(about, "schemaversion").text = "1.0.0"
    SubElement(root, "organizations")
    resources = SubElement(root, "resources")
    for quiz in quizzes.values():
        ids = [name(quiz, number) for number, _ in enumerate(quiz.questions, 1)]
        held = _resource(resources, f"quiz-{quiz.id}", "imsqti_test_xmlv2p1", f"tests/quiz-{quiz.id}.xml")
        for id in ids:
            SubElement(held, "dependency", identifierref=id)
            _resource(resources, id, "imsqti_item_xmlv2p1", f"items/{id}.xml")
    return root


def _resource(resources: Element, id: str, kind: str, path: str) -> Element:
    held = SubElement(resources, "resource", identifier=id, type=kind, href=path)
    SubElement(held, "file", href=path)
    return held


def moodle(quizzes: dict[str, Quiz]) -> bytes:
    """Return all questions as Moodle XML, a category for each quiz."""
    root = Element("quiz")
    for title, quiz in quizzes.items():
        category = SubElement(SubElement(root, "question", type="category"), "category")
        SubElement(category, "text").text = f"$course$/top/coursekit/{title.replace('/', '//')}"
        for number, question in enumerate(quiz.questions, 1):
            _moodle_question(root, name(quiz, number), question)
    return written(root)


def _moodle_question(root: Element, id: str, question: Question) -> None:
    made = SubElement(root, "question", type="multichoice")
    SubElement(SubElement(made, "name"), "text").text = f"{id}: {short(question)}"
    _html(made, "questiontext", question.title)
    _html(made, "generalfeedback", "")
    settings = {"defaultgrade": "1", "penalty": "0.3333333", "hidden": "0", "idnumber": id}
    settings |= {"single": "false" if question.several else "true"}
    settings |= {"shuffleanswers": "true", "answernumbering": "abc"}
    for key, value in settings.items():
        SubElement(made, key).text = value
    count = sum(choice.right for choice in question.choices)
    for choice in question.choices:
        answer = _html(made, "answer", choice.text)
        answer.set("fraction", fraction(question, count, right=choice.right))
        _html(answer, "feedback", choice.outcome)


def fraction(question: Question, count: int, *, right: bool) -> str:
    """Return a choice's share of the grade, in %; where several are right, picking all earns nothing."""
    if right:
        return f"{100 / count:.7g}"
    return f"{-100 / (len(question.choices) - count):.7g}" if question.several else "0"


def _html(parent: Element, tag: str, text: str) -> Element:
    made = SubElement(parent, tag, format="html")
    SubElement(made, "text").text = f"<p>{texts.rich(text)}</p>" if text else ""
    return made


def _marked(tag: str, text: str, **attributes: str) -> Element:
    """Return an element with `code` and **strong** marked up."""
    made = ElementTree.fromstring(f"<{tag}>{texts.rich(text)}</{tag}>")
    made.attrib |= attributes
    return made


def _root(tag: str, **attributes: str) -> Element:
    return Element(tag, {"xmlns": QTI, "xmlns:xsi": XSI, "xsi:schemaLocation": QTI_FILE} | attributes)


def _under(parent: Element, tag: str, **attributes: str) -> Element:
    return SubElement(parent, tag, attributes)


def written(root: Element) -> bytes:
    """Return the tree as the bytes of a file."""
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
