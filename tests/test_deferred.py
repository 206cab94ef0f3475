"""Keras is imported when something of it is used, whoever uses it, and then nothing tells that it came late."""

import sys
import textwrap
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.slow

HEAVY = ("keras", "sklearn", "pandas", "matplotlib", "lightgbm", "torch._dynamo", "torch", "mmengine")


@pytest.fixture
def python(run, tmp_path):
    def call(code):
        done = run(sys.executable, "-c", textwrap.dedent(code), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return call


def test_importing_musket_core_imports_nothing_heavy(python):
    assert (
        python(f"""
        from musket_core import generic, experiment, projects, tools, tasks, analize, predictions, model, caches
        import sys
        print([name for name in {HEAVY} if name in sys.modules and name not in ("torch", "mmengine")])
    """)
        == "[]"
    )


def test_generic_alone_needs_no_torch(python):
    assert (
        python(f"""
        from musket_core import generic
        import sys
        print([name for name in {HEAVY} if name in sys.modules])
    """)
        == "[]"
    )


def test_parsing_and_reading_data_use_no_keras(run, project, add_experiment):
    config = add_experiment()
    code = f"""
import sys
from musket_core import generic
config = generic.parse({str(config)!r})
print(len(config.get_dataset()) > 0, "keras" in sys.modules)
"""
    done = run(sys.executable, "-c", code, cwd=project)
    assert done.stdout.split() == ["True", "False"], done.stderr


USES = {
    "callback": "clr_callback.CyclicLR(base_lr=0.1).base_lr == 0.1",
    "callback with words": "generic_config.KFoldCallback(k=None).data is None",
    "callback without init": "isinstance(logger.CSVLogger('x.csv'), keras.callbacks.Callback)",
    "checkpoint": "isinstance(multigpu_checkpoint.AltModelCheckpoint('x.keras', None), keras.callbacks.ModelCheckpoint)",
    "chained callback": "lr_variation_callback.LRVariator(absSize=3).toVal == 0.006",
    "sequence": "len(datasets.GenericDataSetSequence([1, 2, 3], 2)) == 2",
    "constructor of keras": "generic_config.LambdaCallback().params is None",
    "star import": "issubclass(clr_callback.EarlyStopping, keras.callbacks.Callback)",
    "instance check": "isinstance(clr_callback.CyclicLR(), clr_callback.Callback)",
    "subclass check": "issubclass(experiment.TimeoutCallback, clr_callback.Callback)",
    "backend function": "float(losses.K.sum(numpy.ones(3))) == 3.0",
    "relu": "float(generic_config.relu6(numpy.float32(9))) == 6.0",
    "metric by name": "float(generic_config.keras.metrics.get('mse')(numpy.ones((1, 2)), numpy.zeros((1, 2)))) == 1.0",
    "loss of musket_core": "float(losses.iou_coef(torch.ones(1, 2, 2, 1), torch.ones(1, 2, 2, 1)).mean()) > 0.9",
    "metric at import": "float(losses.bce(numpy.ones((1, 2)), numpy.ones((1, 2)))) < 1e-5 and not losses.bce.need_threshold",
    "composite loss": "callable(losses.composite_loss('0.5*binary_crossentropy+dice'))",
    "optimizer": "generic_config.opt.Adam(0.5).learning_rate == 0.5",
    "layer by name": "configloader.load('layers').catalog['conv2d'] is not None",
    "layer by name, late": "'Conv3DTranspose' in configloader.load('layers').catalog",
    "callbacks by name": "type(configloader.parse('callbacks', {'EarlyStopping': {'patience': 2}})[0]) "
    "is keras.callbacks.EarlyStopping",
    "net": "net_declaration.create_model_from_config({'net': [{'dense': [2]}]}, [generic_config.keras.Input((4,))]) is not None",
    "introspector": "any(one['name'] == 'EarlyStopping' for one in projects.introspector.builtins())",
    "pandas": "generic_config.pd.DataFrame({'a': [1]}).a.sum() == 1",
    "sklearn": "datasets.ms.KFold(2).get_n_splits() == 2",
    "pyplot": "lr_finder.plt.figure is not None",
}
MODULES = (
    "builtin_trainables, clr_callback, configloader, datasets, experiment, generic, generic_config, logger, losses, "
    "lr_finder, lr_variation_callback, multigpu_checkpoint, net_declaration, projects"
)


@pytest.mark.parametrize("when", ["after", "before"])
def test_everything_of_keras_works(python, when):
    before = "import os; os.environ['KERAS_BACKEND'] = 'torch'; import keras" if when == "before" else ""
    uses = "\n".join(f"assert {use}, {name!r}" for name, use in USES.items())
    assert (
        python(f"import numpy, torch\n{before}\nfrom musket_core import {MODULES}\nimport keras\n{uses}\nprint(1)")
        == "1"
    )


FIRST = ["callback with words", "sequence", "instance check", "metric at import", "net"]


def test_each_may_be_the_first_use(run, tmp_path):
    """Each in a fork of one process that has imported musket_core and no Keras."""
    code = f"""
import os, sys
import numpy, torch
from musket_core import {MODULES}
assert "keras" not in sys.modules
for name, use in {[(name, USES[name]) for name in FIRST]!r}:
    child = os.fork()
    if not child:
        right = eval(use) and "keras" in sys.modules
        os._exit(0 if right else 1)
    print(name, os.waitpid(child, 0)[1])
"""
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stdout.splitlines() == [f"{name} 0" for name in FIRST], done.stderr


def test_a_users_own_import_gives_the_placeholders_their_bases(python):
    assert (
        python("""
        from musket_core import clr_callback, experiment, datasets
        from musket_core.clr_callback import CyclicLR

        class Mine(CyclicLR):
            pass

        from keras.callbacks import Callback, EarlyStopping
        import keras

        class Both(CyclicLR, EarlyStopping):
            pass

        assert keras.backend.backend() == "torch"
        for kind in (CyclicLR, Mine, Both, experiment.TimeoutCallback, clr_callback.AllLogger):
            assert issubclass(kind, Callback), kind
        assert issubclass(datasets.GenericDataSetSequence, keras.utils.PyDataset)
        assert isinstance(Mine(base_lr=0.5), Callback) and Mine(base_lr=0.5).base_lr == 0.5
        assert CyclicLR.set_params is Callback.set_params
        print(Mine.__mro__[-2] is Callback, "__orig_bases__" in vars(CyclicLR))
    """)
        == "True False"
    )


def test_a_users_subclass_before_keras_is_there(python):
    assert (
        python("""
        import sys
        from musket_core.callback_module import CallbackModule
        from musket_core.clr_callback import Callback

        class Mine(CallbackModule):
            def __init__(self, word, *, other):
                self.word = word, other

        assert "keras" not in sys.modules

        class Direct(Callback):
            pass

        import keras
        assert Direct.__bases__ == (keras.callbacks.Callback,)
        assert isinstance(Mine(1, other=2), keras.callbacks.Callback)
        print(Mine(1, other=2).word)
    """)
        == "(1, 2)"
    )


def test_a_backend_that_was_chosen_stays(run, tmp_path):
    if find_spec("jax") is not None:
        pytest.skip("jax is installed: its absence is what tells")
    code = """
        from musket_core import generic
        try:
            import keras
        except ModuleNotFoundError as error:
            print(error.name)
    """
    done = run(sys.executable, "-c", textwrap.dedent(code), cwd=tmp_path, env={"KERAS_BACKEND": "jax"})
    assert done.stdout.strip() == "jax", done.stderr


def test_a_project_registers_over_a_layer_of_the_same_name(python):
    assert (
        python("""
        import sys, types
        from musket_core import configloader, net_declaration
        module = types.ModuleType("providers")
        exec("def resizing(x): return x", vars(module))
        sys.modules["providers"] = module
        net_declaration.layers.register("providers")
        assert "keras" not in sys.modules
        catalog = configloader.load("layers").catalog
        before = catalog["resizing"]
        assert "Conv3D" in catalog and "keras" in sys.modules
        print(type(before).__name__, catalog["resizing"] is before)
    """)
        == "PythonFunction True"
    )


def test_the_stand_in_knows_kerass_callbacks(python):
    assert (
        python("""
        from musket_core import generic
        from instance_segmentation_pipeline.legacy.standins.keras import callbacks
        import keras
        print(sorted(set(callbacks.__all__) - set(dir(keras.callbacks))), "CyclicLR" in dir(callbacks))
    """)
        == "[] True"
    )


def test_a_package_that_is_not_there_is_missed_at_import(python):
    assert (
        python("""
        from instance_segmentation_pipeline.deferred import deferred_module
        try:
            deferred_module("no_such_package.part")
        except ModuleNotFoundError as error:
            print(error.name)
    """)
        == "no_such_package"
    )
