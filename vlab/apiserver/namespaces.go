package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/names"
)

func namespaceTypes() []runtime.Object {
	return []runtime.Object{&corev1.Namespace{}, &corev1.NamespaceList{}}
}

// namespaces is the storage of core/v1 namespaces. There is no controller behind it: a deleted namespace is gone at
// once, and what was in it stays.
type namespaces struct{ *registry.Store }

// ShortNames implements rest.ShortNamesProvider.
func (namespaces) ShortNames() []string { return []string{"ns"} }

func installNamespaces(s *genericapiserver.GenericAPIServer, getter generic.RESTOptionsGetter) (namespaces, error) {
	core := schema.GroupVersion{Version: "v1"}
	scheme := servedScheme(core, namespaceTypes()...)
	codecs := serializer.NewCodecFactory(scheme)
	resource := schema.GroupResource{Resource: "namespaces"}
	strategy := namespaceStrategy{scheme, names.SimpleNameGenerator}
	store := namespaces{&registry.Store{
		NewFunc:                   func() runtime.Object { return &corev1.Namespace{} },
		NewListFunc:               func() runtime.Object { return &corev1.NamespaceList{} },
		DefaultQualifiedResource:  resource,
		SingularQualifiedResource: schema.GroupResource{Resource: "namespace"},
		PredicateFunc: func(l labels.Selector, f fields.Selector) storage.SelectionPredicate {
			return storage.SelectionPredicate{Label: l, Field: f, GetAttrs: namespaceAttrs}
		},
		CreateStrategy: strategy,
		UpdateStrategy: strategy,
		DeleteStrategy: strategy,
		TableConvertor: rest.NewDefaultTableConvertor(resource),
	}}
	opts := codecGetter{getter, codecs.LegacyCodec(core)}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: opts, AttrFunc: namespaceAttrs}); err != nil {
		return namespaces{}, err
	}
	info := genericapiserver.NewDefaultAPIGroupInfo("", scheme, metav1.ParameterCodec, codecs)
	info.VersionedResourcesStorageMap["v1"] = map[string]rest.Storage{"namespaces": store}
	return store, s.InstallLegacyAPIGroup(genericapiserver.DefaultLegacyAPIPrefix, &info)
}

// createDefault is a start hook: Hedgehog keeps its objects in the namespace default.
func (n namespaces) createDefault(hook genericapiserver.PostStartHookContext) error {
	ctx := genericapirequest.WithNamespace(hook.Context, metav1.NamespaceNone)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceDefault}}
	if _, err := n.Create(ctx, ns, nil, &metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

func namespaceAttrs(o runtime.Object) (labels.Set, fields.Set, error) {
	n := o.(*corev1.Namespace)
	return n.Labels, fields.Set{"metadata.name": n.Name}, nil
}

type namespaceStrategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func (namespaceStrategy) NamespaceScoped() bool { return false }
func (namespaceStrategy) PrepareForCreate(_ context.Context, o runtime.Object) {
	ns := o.(*corev1.Namespace)
	ns.Status.Phase = corev1.NamespaceActive
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
}

func (namespaceStrategy) Validate(_ context.Context, o runtime.Object) field.ErrorList {
	return apivalidation.ValidateObjectMeta(&o.(*corev1.Namespace).ObjectMeta, false, apivalidation.ValidateNamespaceName, field.NewPath("metadata"))
}

func (namespaceStrategy) ValidateUpdate(_ context.Context, o, old runtime.Object) field.ErrorList {
	return apivalidation.ValidateObjectMetaUpdate(&o.(*corev1.Namespace).ObjectMeta, &old.(*corev1.Namespace).ObjectMeta, field.NewPath("metadata"))
}
func (namespaceStrategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }
func (namespaceStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
func (namespaceStrategy) Canonicalize(runtime.Object)                   {}
func (namespaceStrategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (namespaceStrategy) AllowUnconditionalUpdate(context.Context) bool { return true }
func (namespaceStrategy) PrepareForUpdate(_ context.Context, o, old runtime.Object) {
	o.(*corev1.Namespace).Status = old.(*corev1.Namespace).Status
}

// codecGetter stores namespaces with their own codec instead of that of CRDs.
type codecGetter struct {
	generic.RESTOptionsGetter
	codec runtime.Codec
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g codecGetter) GetRESTOptions(r schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	o, err := g.RESTOptionsGetter.GetRESTOptions(r, example)
	if err != nil {
		return o, err
	}
	sc := *o.StorageConfig
	sc.Codec = g.codec
	o.StorageConfig = &sc
	return o, nil
}

// namespaceMustExist refuses objects in a namespace that is not there, as Kubernetes' NamespaceLifecycle does. store is
// set before the server runs.
type namespaceMustExist struct {
	*admission.Handler
	store namespaces
}

var _ admission.ValidationInterface = &namespaceMustExist{}

func newNamespaceMustExist() *namespaceMustExist {
	return &namespaceMustExist{Handler: admission.NewHandler(admission.Create)}
}

// Validate implements admission.ValidationInterface.
func (n *namespaceMustExist) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetNamespace() == "" || a.GetResource().GroupResource() == (schema.GroupResource{Resource: "namespaces"}) {
		return nil
	}
	// Resource version 0 reads from the cache: this is on the path of every create. What the cache does not know may
	// have been made a moment ago, so the store has the last word.
	_, err := n.store.Get(ctx, a.GetNamespace(), &metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		_, err = n.store.Get(ctx, a.GetNamespace(), &metav1.GetOptions{})
	}
	return err
}
