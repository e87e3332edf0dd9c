package apiserver

import (
	"context"
	"errors"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	authz "k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

const (
	reviewGroup   = authorizationv1.GroupName
	accessReviews = "selfsubjectaccessreviews"
	rulesReviews  = "selfsubjectrulesreviews"
)

func reviewTypes() []runtime.Object {
	return []runtime.Object{&authorizationv1.SelfSubjectAccessReview{}, &authorizationv1.SelfSubjectRulesReview{}}
}

// installReviews serves authorization.k8s.io/v1: questions that users ask about themselves, answered by the same rules
// that guard every request. Nothing is stored.
func installReviews(s *genericapiserver.GenericAPIServer, rules authorizer) error {
	scheme := servedScheme(authorizationv1.SchemeGroupVersion, reviewTypes()...)
	info := genericapiserver.NewDefaultAPIGroupInfo(reviewGroup, scheme, metav1.ParameterCodec, serializer.NewCodecFactory(scheme))
	info.VersionedResourcesStorageMap["v1"] = map[string]rest.Storage{
		accessReviews: review{
			singular: "selfsubjectaccessreview",
			empty:    func() runtime.Object { return &authorizationv1.SelfSubjectAccessReview{} },
			answer:   rules.reviewAccess,
		},
		rulesReviews: review{
			singular: "selfsubjectrulesreview",
			empty:    func() runtime.Object { return &authorizationv1.SelfSubjectRulesReview{} },
			answer:   rules.reviewRules,
		},
	}
	return s.InstallAPIGroup(&info)
}

// review is a resource that can only be created, and whose creation is the question.
type review struct {
	singular string
	empty    func() runtime.Object
	answer   func(context.Context, user.Info, runtime.Object) (runtime.Object, error)
}

var (
	_ rest.Creater              = review{}
	_ rest.Scoper               = review{}
	_ rest.SingularNameProvider = review{}
)

func (r review) New() runtime.Object     { return r.empty() }
func (r review) Destroy()                {}
func (r review) NamespaceScoped() bool   { return false }
func (r review) GetSingularName() string { return r.singular }

// Create implements rest.Creater.
func (r review) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	who, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("a request without user"))
	}
	return r.answer(ctx, who, obj)
}

func (a authorizer) reviewAccess(ctx context.Context, who user.Info, obj runtime.Object) (runtime.Object, error) {
	in := obj.(*authorizationv1.SelfSubjectAccessReview)
	attr := authz.AttributesRecord{User: who}
	switch res, path := in.Spec.ResourceAttributes, in.Spec.NonResourceAttributes; {
	case res != nil && path == nil:
		attr.ResourceRequest = true
		attr.Verb, attr.APIGroup, attr.APIVersion = res.Verb, res.Group, res.Version
		attr.Resource, attr.Subresource = res.Resource, res.Subresource
		attr.Namespace, attr.Name = res.Namespace, res.Name
	case path != nil && res == nil:
		attr.Verb, attr.Path = path.Verb, path.Path
	default:
		return nil, apierrors.NewBadRequest("spec must have exactly one of resourceAttributes and nonResourceAttributes")
	}
	decision, reason, err := a.Authorize(ctx, attr)
	out := in.DeepCopy()
	out.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: decision == authz.DecisionAllow, Reason: reason}
	if err != nil {
		out.Status.EvaluationError = err.Error()
	}
	return out, nil
}

func (a authorizer) reviewRules(ctx context.Context, who user.Info, obj runtime.Object) (runtime.Object, error) {
	in := obj.(*authorizationv1.SelfSubjectRulesReview)
	if in.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	resources, paths, incomplete, err := a.RulesFor(ctx, who, in.Spec.Namespace)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out := in.DeepCopy()
	out.Status.Incomplete = incomplete
	for _, r := range resources {
		out.Status.ResourceRules = append(out.Status.ResourceRules, authorizationv1.ResourceRule{
			Verbs: r.GetVerbs(), APIGroups: r.GetAPIGroups(), Resources: r.GetResources(), ResourceNames: r.GetResourceNames(),
		})
	}
	for _, p := range paths {
		out.Status.NonResourceRules = append(out.Status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: p.GetVerbs(), NonResourceURLs: p.GetNonResourceURLs()})
	}
	return out, nil
}
