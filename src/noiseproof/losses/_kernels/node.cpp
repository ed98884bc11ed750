/* The row kernel behind one C++ node of autograd: what autograd.py does, without Python's share of the time.
 *
 * Compiled for one torch by build.py, on request. It takes the plain case (labels, float32, bfloat16 or float64 scores on
 * the CPU, nothing that looks at every operation) and answers None to every other, which Python then takes.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/SafePyObject.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/PyInterpreter.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/utils/object_ptr.h>
#include <torch/version.h>

#include "call.h"

using namespace torch::autograd;
using at::Tensor;

namespace {

RunCall run_call;      /* kernel.c's */
PyObject *plan_of;     /* plan.plan */
PyObject *names_of;    /* plan.parameters: a class's */
PyObject *plans, *parameters; /* dictionaries: by `key_of`, by class */
PyObject *gradient_of; /* autograd.gradient_of_plan */
c10::DispatchKeySet plain_keys, usual_tls;

struct {
    PyObject *packed, *below, *buffers, *weight, *ignore_index, *reduction, *label_smoothing, *mean, *sum, *none;
    PyObject *factors, *modules, *losses;
} names;

enum Reduction { NONE, MEAN, SUM }; /* in the order of cpu.py, as are the types */

bool is_plain(const Tensor &tensor) { return tensor.key_set() == plain_keys; }

/* Whether nothing looks at every operation: transforms of torch.func, modes, torch.jit.trace, forward derivatives. */
bool is_unobserved() {
    const auto included = c10::impl::tls_local_dispatch_key_set().included_;
    return (included - usual_tls).empty() && c10::impl::TorchDispatchModeTLS::stack_len() == 0 &&
           !ForwardADLevel::try_get_by_idx(0);
}

struct Rows : Node {
    SavedVariable scores, target, weight, grad;
    std::optional<c10::SafePyObject> plan;
    int64_t ignore_index;
    double label_smoothing;
    Reduction reduction;

    std::string name() const override { return "_RowsBackward"; }

    void release_variables() override {
        std::lock_guard<std::mutex> lock(mutex_);
        for (SavedVariable *saved : {&scores, &target, &weight, &grad}) saved->reset_data();
    }

    variable_list apply(variable_list &&arrived) override {
        Tensor saved[4];
        {
            std::lock_guard<std::mutex> lock(mutex_);
            saved[0] = scores.unpack(), saved[1] = target.unpack(), saved[2] = weight.unpack(), saved[3] = grad.unpack();
        }
        Tensor upstream = std::move(arrived[0]), &made = saved[3];
        if (!upstream.defined()) return {Tensor()};
        if (at::GradMode::is_enabled() || !is_plain(upstream) || !is_plain(made) || !is_unobserved())
            return {in_python(saved, upstream)};
        if (get_current_graph_task_keep_graph()) return {made * (upstream.dim() ? upstream.unsqueeze(1) : upstream)};
        if (upstream.dim())
            made.mul_(upstream.unsqueeze(1));
        else if (upstream.item<double>() != 1)
            made.mul_(upstream);
        return {made};
    }

    /* A derivative of the derivative, a row of a Jacobian: as autograd.py says. */
    Tensor in_python(const Tensor *saved, const Tensor &upstream) {
        static const char *const reductions[] = {"none", "mean", "sum"};
        pybind11::gil_scoped_acquire gil;
        THPObjectPtr settings(Py_BuildValue("(OLsd)", plan->ptr(getPyInterpreter()), (long long)ignore_index,
                                            reductions[reduction], label_smoothing));
        THPObjectPtr tensors(PyTuple_New(5));
        if (!settings || !tensors) throw python_error();
        for (int i = 0; i < 5; i++) PyTuple_SET_ITEM(tensors.get(), i, THPVariable_Wrap(i < 4 ? saved[i] : upstream));
        THPObjectPtr result(PyObject_CallFunctionObjArgs(gradient_of, settings.get(), tensors.get(), nullptr));
        if (!result) throw python_error();
        return THPVariable_Unpack(result.get());
    }
};

/* Torch 2.13 counts references to a node in the node itself, older ones beside it. */
template <typename Pointer, typename T> Pointer own(T *node) {
    if constexpr (std::is_constructible_v<Pointer, T *, void (*)(Node *)>)
        return Pointer(node, [](auto *own) { deleteNode(own); });
    else
        return Pointer::unsafe_steal_from_new(node);
}
using NodePointer = std::remove_cv_t<std::remove_reference_t<decltype(std::declval<Edge>().function)>>;

int type_number(at::ScalarType type) {
    switch (type) {
    case at::kFloat: return 0;
    case at::kBFloat16: return 1;
    case at::kDouble: return 3;
    default: return -1; /* float16 must not round a gradient before the loss scale is applied */
    }
}

/* Plans, by what they depend on */

PyObject *attributes_of(PyObject *object) { /* borrowed: the object keeps it */
    PyObject **attributes = _PyObject_GetDictPtr(object);
    return attributes ? *attributes : nullptr;
}

/* The names of a class's parameters, True of a sum, None of what is not the package's own; borrowed. */
PyObject *parameters_of(PyObject *loss) {
    PyObject *cls = (PyObject *)Py_TYPE(loss), *known = PyDict_GetItemWithError(parameters, cls);
    if (known) return known;
    THPObjectPtr found(PyObject_CallOneArg(names_of, cls));
    if (!found || PyDict_SetItem(parameters, cls, found) < 0) throw python_error();
    return PyDict_GetItemWithError(parameters, cls);
}

/* Appends a term's factor, class and parameters; false where one is not to be had. */
bool append_term(PyObject *key, PyObject *factor, PyObject *loss) {
    PyObject *read = parameters_of(loss), *attributes = attributes_of(loss);
    if (!attributes || !PyTuple_CheckExact(read)) return false;
    if (PyList_Append(key, factor) < 0 || PyList_Append(key, (PyObject *)Py_TYPE(loss)) < 0) throw python_error();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(read); i++) {
        PyObject *value = PyDict_GetItemWithError(attributes, PyTuple_GET_ITEM(read, i));
        if (!value) return false;
        if (PyList_Append(key, value) < 0) throw python_error();
    }
    return true;
}

/* What decides the plan of a loss, as plan.py has it; NULL where that must say. */
PyObject *key_of(PyObject *loss) {
    THPObjectPtr key(PyList_New(0));
    if (!key) throw python_error();
    if (parameters_of(loss) != Py_True) return append_term(key, Py_True, loss) ? PyList_AsTuple(key) : nullptr;
    PyObject *attributes = attributes_of(loss), *factors = PyDict_GetItemWithError(attributes, names.factors);
    PyObject *modules = PyDict_GetItemWithError(attributes, names.modules);
    PyObject *list = modules ? PyDict_GetItemWithError(modules, names.losses) : nullptr;
    attributes = list ? attributes_of(list) : nullptr;
    modules = attributes ? PyDict_GetItemWithError(attributes, names.modules) : nullptr;
    if (!modules || !factors || !PyTuple_CheckExact(factors)) return nullptr;
    if (PyDict_GET_SIZE(modules) != PyTuple_GET_SIZE(factors)) return nullptr;
    PyObject *term;
    Py_ssize_t place = 0, i = 0;
    while (PyDict_Next(modules, &place, nullptr, &term))
        if (!append_term(key, PyTuple_GET_ITEM(factors, i++), term)) return nullptr;
    return PyList_AsTuple(key);
}

/* The plan of a loss, or None: a new reference. */
PyObject *find_plan(PyObject *loss) {
    THPObjectPtr key(key_of(loss));
    PyObject *known = key ? PyDict_GetItemWithError(plans, key) : nullptr;
    if (known) return Py_NewRef(known);
    PyErr_Clear(); /* a parameter without a hash */
    PyObject *plan = PyObject_CallOneArg(plan_of, loss);
    if (!plan) throw python_error();
    if (PyDict_GET_SIZE(plans) >= 256) PyDict_Clear(plans); /* a parameter that is annealed makes a new one each step */
    if (key && PyDict_SetItem(plans, key, plan) < 0) PyErr_Clear();
    return plan;
}

/* What a loss says of itself, read from its attributes. */
struct Settings {
    THPObjectPtr plan, packed;
    char *program = nullptr;
    Py_ssize_t size = 0;
    int64_t ignore_index = 0;
    double label_smoothing = 0;
    Reduction reduction = MEAN;
    Tensor weight;
};

/* False where the loss is one for Python. */
bool read_settings(PyObject *loss, const Tensor &scores, Settings &settings) {
    settings.plan = find_plan(loss);
    if (settings.plan.get() == Py_None) return false;
    settings.packed = PyObject_GetAttr(settings.plan, names.packed);
    THPObjectPtr below(PyObject_GetAttr(settings.plan, names.below));
    if (!settings.packed || !below) throw python_error();
    if (PyBytes_AsStringAndSize(settings.packed, &settings.program, &settings.size) < 0) throw python_error();
    if (!settings.size || !((double)scores.size(1) < PyFloat_AsDouble(below))) return false;

    PyObject *attributes = attributes_of(loss);
    if (!attributes) return false;
    auto attribute = [&](PyObject *name) { return PyDict_GetItemWithError(attributes, name); };
    PyObject *index = attribute(names.ignore_index), *smoothing = attribute(names.label_smoothing);
    PyObject *reduction = attribute(names.reduction), *buffers = attribute(names.buffers);
    if (!index || !PyLong_CheckExact(index) || !smoothing || !PyFloat_CheckExact(smoothing) || !reduction) return false;
    int overflows;
    settings.ignore_index = PyLong_AsLongLongAndOverflow(index, &overflows);
    settings.label_smoothing = PyFloat_AS_DOUBLE(smoothing);
    if (overflows || !(settings.label_smoothing >= 0 && settings.label_smoothing <= 1)) return false;
    if (reduction == names.mean)
        settings.reduction = MEAN;
    else if (reduction == names.sum)
        settings.reduction = SUM;
    else if (reduction == names.none)
        settings.reduction = NONE;
    else
        return false;
    PyObject *weight = buffers && PyDict_Check(buffers) ? PyDict_GetItemWithError(buffers, names.weight) : nullptr;
    if (!weight) return false; /* it is learned */
    if (weight == Py_None) return true;
    if (!THPVariable_CheckExact(weight)) return false;
    settings.weight = THPVariable_Unpack(weight);
    const auto wide = scores.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    return is_plain(settings.weight) && !settings.weight.requires_grad() && settings.weight.scalar_type() == wide &&
           settings.weight.dim() == 1 && settings.weight.size(0) == scores.size(1) && settings.weight.is_contiguous();
}

bool can_take(const Tensor &scores, const Tensor &target) {
    return is_plain(scores) && is_plain(target) && type_number(scores.scalar_type()) >= 0 &&
           target.scalar_type() == at::kLong && scores.dim() == 2 && target.dim() == 1 && scores.size(0) > 0 &&
           scores.size(0) == target.size(0) && scores.size(1) > 0 && scores.stride(1) == 1 && target.is_contiguous() &&
           is_unobserved();
}

PyObject *answer(PyObject *, PyObject *const *argument, Py_ssize_t count) {
    HANDLE_TH_ERRORS
    if (count != 3) return PyErr_Format(PyExc_TypeError, "answer takes a loss, scores and labels, got %zd arguments", count);
    if (!run_call || !THPVariable_CheckExact(argument[1]) || !THPVariable_CheckExact(argument[2])) Py_RETURN_NONE;
    const Tensor &scores = THPVariable_Unpack(argument[1]), &target = THPVariable_Unpack(argument[2]);
    Settings settings;
    if (!can_take(scores, target) || !read_settings(argument[0], scores, settings)) Py_RETURN_NONE;

    const bool differentiable = scores.requires_grad() && at::GradMode::is_enabled();
    const auto wide = scores.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    Tensor value, grad;
    int64_t result;
    const int64_t rows = scores.size(0), classes = scores.size(1);
    value = at::detail::empty_cpu(at::IntArrayRef(&rows, settings.reduction == NONE ? 1 : 0), wide);
    if (differentiable) grad = at::detail::empty_cpu({rows, classes}, scores.scalar_type());
    const Call call = {
        .scores = scores.const_data_ptr(),
        .target = target.const_data_ptr<int64_t>(),
        .soft = nullptr,
        .weight = settings.weight.defined() ? settings.weight.const_data_ptr() : nullptr,
        .grad = differentiable ? grad.mutable_data_ptr() : nullptr,
        .upstream = nullptr,
        .out = value.mutable_data_ptr(),
        .rows = rows,
        .classes = classes,
        .score_stride = scores.stride(0),
        .soft_stride = 0,
        .grad_stride = classes,
        .upstream_stride = 0,
        .ignored = settings.ignore_index,
        .smoothing = settings.label_smoothing,
        .dtype = type_number(scores.scalar_type()),
        .reduction = settings.reduction,
        .threads = at::get_num_threads(),
        .unused = 0,
    };
    {
        pybind11::gil_scoped_release no_gil;
        result = run_call(settings.program, (size_t)settings.size, &call);
    }
    if (result != DONE) Py_RETURN_NONE; /* Python says why */
    if (differentiable) {
        Rows *node = new Rows();
        NodePointer pointer = own<NodePointer>(node);
        node->set_next_edges(collect_next_edges(scores));
        node->scores = SavedVariable(scores, false), node->target = SavedVariable(target, false);
        node->grad = SavedVariable(grad, false);
        if (settings.weight.defined()) node->weight = SavedVariable(settings.weight, false);
        node->plan.emplace(settings.plan.release(), getPyInterpreter());
        node->ignore_index = settings.ignore_index, node->label_smoothing = settings.label_smoothing;
        node->reduction = settings.reduction;
        set_history(value, pointer);
    }
    return THPVariable_Wrap(std::move(value));
    END_HANDLE_TH_ERRORS
}

/* connect(run_call, plan, parameters, gradient_of_plan): what the node calls. */
PyObject *connect(PyObject *, PyObject *arguments) {
    HANDLE_TH_ERRORS
    PyObject *capsule;
    if (!PyArg_ParseTuple(arguments, "OOOO", &capsule, &plan_of, &names_of, &gradient_of)) return nullptr;
    auto *door = static_cast<RunCall *>(PyCapsule_GetPointer(capsule, "noiseproof.run_call"));
    if (!door) return nullptr;
    run_call = *door;
    Py_INCREF(plan_of), Py_INCREF(names_of), Py_INCREF(gradient_of);
    plans = PyDict_New(), parameters = PyDict_New();
    if (!plans || !parameters) return nullptr;
    const std::pair<PyObject **, const char *> interned[] = {
        {&names.packed, "packed"},         {&names.below, "below"},   {&names.buffers, "_buffers"},
        {&names.weight, "weight"},         {&names.mean, "mean"},     {&names.ignore_index, "ignore_index"},
        {&names.reduction, "reduction"},   {&names.sum, "sum"},       {&names.label_smoothing, "label_smoothing"},
        {&names.none, "none"},             {&names.factors, "factors"}, {&names.modules, "_modules"},
        {&names.losses, "losses"},
    };
    for (auto &[name, text] : interned) *name = PyUnicode_InternFromString(text);
    plain_keys = at::empty({0}).key_set();
    usual_tls = c10::impl::tls_local_dispatch_key_set().included_ | c10::autocast_dispatch_keyset;
    Py_RETURN_NONE;
    END_HANDLE_TH_ERRORS
}

PyMethodDef methods[] = {
    {"answer", (PyCFunction)(void (*)(void))answer, METH_FASTCALL,
     "The loss of the given labels as a node of autograd; None where Python must answer."},
    {"connect", connect, METH_VARARGS, "Give the node the kernel, the plan of a loss, and the rarer gradients."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_node", "The row kernel as a node of autograd, see node.cpp.", -1, methods,
    nullptr, nullptr, nullptr, nullptr,
};

} // namespace

PyMODINIT_FUNC PyInit__node() {
    PyObject *module = PyModule_Create(&definition);
    if (!module || PyModule_AddStringConstant(module, "torch", TORCH_VERSION) < 0) return nullptr;
    return module;
}
