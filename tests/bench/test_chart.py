"""The plots of the page about speed are whole, and say what their bars are."""

from xml.etree import ElementTree as ET

from bar_chart import Bar, chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_has_a_bar_for_each_label_and_the_longest_is_the_largest():
    drawn = parsed(chart("A & B", [bar("ours", 200.0), bar("a <peer>", 50.0)]))

    texts = [each.text for each in drawn.iter(f"{SVG}text")]
    widths = [float(each.attrib["width"]) for each in drawn.iter(f"{SVG}rect")][1:]
    assert texts == ["A & B", "ours", "200", "a <peer>", "50"]
    assert widths[0] == 4 * widths[1]


def test_a_chart_without_figures_is_an_empty_chart():
    assert parsed(chart("nothing", [])).tag == f"{SVG}svg"


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  the text is our own


def bar(label: str, value: float) -> Bar:
    return Bar(label=label, value=value, low=value, high=value, colour="ours", shown=f"{value:.0f}")
