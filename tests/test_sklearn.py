"""The estimators keep scikit-learn's conventions, and work where scikit-learn's own do."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import estimator_checks_generator

import trainctl
from tests import soak
from trainctl.sklearn import Classifier, Regressor

SMALL = {"model": "linear", "epochs": 12, "lr": 0.1}
# Of some fifty checks for each estimator, those that find the most in little time; `make soak` does them all.
QUICK = {
    "check_estimators_unfitted", "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_dict_unchanged",
    "check_get_params_invariance", "check_set_params", "check_estimators_pickle", "check_methods_subset_invariance",
    "check_fit2d_1sample", "check_classifiers_one_label", "check_regressor_multioutput", "check_n_features_in", "check_fit1d",
    "check_estimators_empty_data_messages", "check_complex_data", "check_classifiers_regression_target",
}  # fmt: skip
SKIPPED = {"check_array_api_input": "needs SCIPY_ARRAY_API in the environment"}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("estimator", [Classifier(**SMALL), Regressor(**SMALL)], ids=lambda each: type(each).__name__)
def test_an_estimator_passes_the_checks_of_scikit_learn(estimator):
    done, failed = [], []
    for found, check in estimator_checks_generator(estimator):
        name = getattr(check, "func", check).__name__
        if name in SKIPPED or (soak.FACTOR == 1 and name not in QUICK):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checks raise them on purpose
            try:
                check(found)
            except Exception as error:  # noqa: BLE001 - all are reported together
                failed.append(f"{name}: {type(error).__name__}: {error}")
        done.append(name)
    assert failed == []
    assert len(done) >= (14 if soak.FACTOR == 1 else 45)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(iris):
    return Classifier(**SMALL).fit(*iris)


def test_classes_of_any_kind_are_predicted_with_their_probabilities(iris, fitted):
    rows, classes = iris
    assert fitted.score(rows, classes) > 0.9
    assert fitted.predict_proba(rows).shape == (150, 3)
    assert np.allclose(fitted.predict_proba(rows).sum(1), 1, atol=1e-5)
    names = np.array(["ten", "2", "-1"])[classes]
    again = Classifier(**SMALL).fit(rows, names)
    assert again.classes_.tolist() == ["-1", "2", "ten"]
    assert set(again.predict(rows)) == set(names)
    assert again.score(rows, names) > 0.9


def test_a_copy_that_was_pickled_predicts_the_same_and_a_clone_is_not_fitted(iris, fitted):
    copied = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copied.predict_proba(iris[0]), fitted.predict_proba(iris[0]))
    assert not hasattr(clone(fitted), "network_")
    again = clone(fitted).fit(*iris)
    assert np.array_equal(again.predict_proba(iris[0]), fitted.predict_proba(iris[0]))


def test_an_estimator_is_searched_over_and_put_into_a_pipeline(iris):
    pipeline = make_pipeline(PolynomialFeatures(2, include_bias=False), Classifier(**SMALL | {"epochs": 4}))
    search = GridSearchCV(pipeline, {"classifier__lr": [1e-6, 0.1]}, cv=2).fit(*iris)
    assert search.best_params_ == {"classifier__lr": 0.1}
    assert search.best_estimator_[-1].network_.settings["optimizer"]["lr"] == 0.1


def test_a_regressor_predicts_data_frames_several_targets_and_gaps():
    pytest.importorskip("pandas")
    rows, targets = load_diabetes(return_X_y=True, as_frame=True)
    found = Regressor(**SMALL).fit(rows, targets)
    assert found.feature_names_in_.tolist() == list(rows.columns)
    assert found.predict(rows).shape == (442,)
    assert found.score(rows, targets) > 0.4
    both = Regressor(**SMALL | {"epochs": 2}).fit(rows, targets.to_frame().assign(other=-targets))
    assert both.predict(rows[:5]).shape == (5, 2)
    gaps = rows.mask(np.random.default_rng(0).random(rows.shape) < 0.1)
    assert Regressor(**SMALL | {"epochs": 2}, clean="impute").fit(gaps, targets).predict(gaps[:3]).shape == (3,)
    with pytest.raises(ValueError, match="NaN"):
        Regressor(**SMALL).fit(gaps, targets)


def test_scores_of_folds_are_those_of_the_estimator(iris):
    assert cross_val_score(Classifier(**SMALL), *iris, cv=2).min() > 0.8


def test_settings_reach_the_run_and_wrong_ones_are_our_errors(iris):
    found = Classifier(model="mlp", epochs=1, settings={"model.hidden": [8], "loss": "focal", "seed": 5}).fit(*iris)
    settings = found.network_.settings
    assert (settings["model"]["hidden"], settings["loss"]["name"], settings["seed"]) == ([8], "focal", 5)
    assert [row["epoch"] for row in found.metrics_] == [1]
    with pytest.raises(trainctl.ConfigError, match="did you mean adam"):
        Classifier(optimizer="adm").fit(*iris)
