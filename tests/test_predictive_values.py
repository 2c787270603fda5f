import math

import pytest

from skcovid.metrics import Estimate, per_class_table, predictive_values


def test_at_the_prevalence_of_the_data_they_are_precision():
    table = per_class_table([[80, 20], [30, 270]], ["ill", "well"])
    found = predictive_values(table["ill"].recall, table["ill"].specificity, 0.25)
    assert found.ppv.value == pytest.approx(table["ill"].precision.value)
    assert found.npv.value == pytest.approx(table["well"].precision.value)
    assert found.ppv.method == "MOVER-R: Wilson"


def test_an_example_by_hand():
    # Of 1,000 people 10 are ill, 9 of them found; 990 are well, 99 false alarms.
    found = predictive_values(
        Estimate.from_counts(90, 100), Estimate.from_counts(900, 1000), 0.01
    )
    assert found.ppv.value == pytest.approx(9 / 108)
    assert found.npv.value == pytest.approx(891 / 892)
    for figure in (found.ppv, found.npv):
        assert 0 < figure.low < figure.value < figure.high < 1
    assert "prevalence of 1 %" in str(found)
    assert found.to_dict()["ppv"] == found.ppv.to_dict()


def test_for_large_counts_intervals_approach_the_logit_intervals_of_mercaldo():
    n_ill, n_well, prevalence = 400, 2000, 0.1
    found = predictive_values(
        Estimate.from_counts(340, n_ill), Estimate.from_counts(1800, n_well), prevalence
    )
    sensitivity, specificity = 0.85, 0.9

    def logit(p):
        return math.log(p / (1 - p))

    # Mercaldo, Lau and Zhou (2007), variances of the logits.
    for figure, variance in [
        (
            found.ppv,
            (1 - sensitivity) / sensitivity / n_ill
            + specificity / (1 - specificity) / n_well,
        ),
        (
            found.npv,
            sensitivity / (1 - sensitivity) / n_ill
            + (1 - specificity) / specificity / n_well,
        ),
    ]:
        half_width = 1.96 * math.sqrt(variance)
        assert logit(figure.low) == pytest.approx(
            logit(figure.value) - half_width, abs=0.1 * half_width
        )
        assert logit(figure.high) == pytest.approx(
            logit(figure.value) + half_width, abs=0.1 * half_width
        )


@pytest.mark.parametrize(
    ("found", "spared", "ppv", "npv"),
    [((20, 20), (50, 50), 1, 1), ((0, 20), (45, 50), 0, None)],
)
def test_proportions_of_zero_and_one(found, spared, ppv, npv):
    values = predictive_values(
        Estimate.from_counts(*found), Estimate.from_counts(*spared), 0.2
    )
    assert values.ppv.value == ppv
    assert npv is None or values.npv.value == npv
    for figure in (values.ppv, values.npv):
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
        assert figure.low < figure.high


def test_intervals_narrow_with_those_of_sensitivity_and_specificity():
    few, many = (
        predictive_values(
            Estimate.from_counts(8 * n, 10 * n),
            Estimate.from_counts(9 * n, 10 * n),
            0.1,
        )
        for n in (3, 300)
    )
    for name in ("ppv", "npv"):
        narrow, wide = getattr(many, name), getattr(few, name)
        assert narrow.value == pytest.approx(wide.value)
        assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("sensitivity", "specificity"),
    [
        (Estimate.from_counts(0, 0), Estimate.from_counts(9, 10)),
        # Without alarms the positive predictive value is undefined.
        (Estimate.from_counts(0, 10), Estimate.from_counts(10, 10)),
    ],
)
def test_undefined_values_are_nan(sensitivity, specificity):
    ppv = predictive_values(sensitivity, specificity, 0.5).ppv
    assert math.isnan(ppv.value)
    assert math.isnan(ppv.low)
    assert ppv.to_dict()["high"] is None


@pytest.mark.parametrize("prevalence", [0, 1, 7.5, "rare"])
def test_invalid_prevalence_is_an_error(prevalence):
    figure = Estimate.from_counts(9, 10)
    with pytest.raises(ValueError, match="prevalence"):
        predictive_values(figure, figure, prevalence)
