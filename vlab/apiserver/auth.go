package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apiserverconfig "k8s.io/apiserver/pkg/apis/apiserver"
	authn "k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/user"
	authz "k8s.io/apiserver/pkg/authorization/authorizer"

	"hedgerow/vlab/access"
)

// healthPaths answer anybody, so that a supervisor needs no token.
var healthPaths = []string{"/readyz", "/livez", "/healthz"}

// authenticator turns a bearer token into a user; without a token only the health paths are open.
func authenticator(policy *atomic.Pointer[access.Policy]) authn.Request {
	byToken := authn.TokenFunc(func(_ context.Context, token string) (*authn.Response, bool, error) {
		u, ok, expired := policy.Load().ByToken(token, time.Now())
		if expired {
			return nil, false, fmt.Errorf("the token of %s expired at %s", u.Name, u.Expires.Format(time.RFC3339))
		}
		if !ok {
			return nil, false, nil
		}
		return &authn.Response{User: &user.DefaultInfo{Name: u.Name, UID: u.Name, Groups: u.Groups}}, true, nil
	})
	conditions := make([]apiserverconfig.AnonymousAuthCondition, len(healthPaths))
	for i, p := range healthPaths {
		conditions[i].Path = p
	}
	return union.New(group.NewAuthenticatedGroupAdder(bearertoken.New(byToken)), anonymous.NewAuthenticator(conditions))
}

// authorizer decides by the rules of the users file as it is at this moment.
type authorizer struct {
	policy *atomic.Pointer[access.Policy]
}

// Authorize implements authz.Authorizer.
func (a authorizer) Authorize(_ context.Context, attr authz.Attributes) (authz.Decision, string, error) {
	policy, name := a.policy.Load(), attr.GetUser().GetName()
	var allowed bool
	switch {
	case slices.Contains(attr.GetUser().GetGroups(), access.Masters): // as is the server itself, which the file doesn't name
		allowed = true
	case !attr.IsResourceRequest():
		allowed = openPath(attr) || policy.Everything(name)
	case ownReview(attr):
		allowed = true
	default:
		allowed = policy.Allows(name, access.Request{
			Verb: attr.GetVerb(), Group: attr.GetAPIGroup(), Resource: attr.GetResource(),
			Subresource: attr.GetSubresource(), Namespace: attr.GetNamespace(),
		})
	}
	if allowed {
		return authz.DecisionAllow, "", nil
	}
	return authz.DecisionNoOpinion, "", nil
}

// ownReview: everybody may ask about their own rights.
func ownReview(attr authz.Attributes) bool {
	return attr.GetVerb() == "create" && attr.GetAPIGroup() == reviewGroup &&
		(attr.GetResource() == accessReviews || attr.GetResource() == rulesReviews)
}

// openPath: discovery, version and health are for every user, as Kubernetes' system:discovery role has it.
func openPath(attr authz.Attributes) bool {
	if v := attr.GetVerb(); v != "get" && v != "head" {
		return false
	}
	path := strings.TrimSuffix(attr.GetPath(), "/")
	for _, root := range append([]string{"/version", "/api", "/apis", "/openapi"}, healthPaths...) {
		if path == root || strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}

// RulesFor implements authz.RuleResolver.
func (a authorizer) RulesFor(_ context.Context, u user.Info, namespace string) ([]authz.ResourceRuleInfo, []authz.NonResourceRuleInfo, bool, error) {
	everywhere := authz.DefaultNonResourceRuleInfo{Verbs: []string{"get"}, NonResourceURLs: []string{"/version", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/readyz", "/livez", "/healthz"}}
	resources := []authz.ResourceRuleInfo{&authz.DefaultResourceRuleInfo{Verbs: []string{"create"}, APIGroups: []string{reviewGroup}, Resources: []string{accessReviews, rulesReviews}}}
	if slices.Contains(u.GetGroups(), access.Masters) {
		all := []string{access.All}
		return append(resources, &authz.DefaultResourceRuleInfo{Verbs: all, APIGroups: all, Resources: all}), []authz.NonResourceRuleInfo{&authz.DefaultNonResourceRuleInfo{Verbs: all, NonResourceURLs: all}}, false, nil
	}
	found, _ := a.policy.Load().ByName(u.GetName())
	for _, r := range found.Rules {
		if r.In(namespace) {
			resources = append(resources, &authz.DefaultResourceRuleInfo{Verbs: r.Verbs, APIGroups: r.Groups, Resources: r.Resources})
		}
	}
	return resources, []authz.NonResourceRuleInfo{&everywhere}, false, nil
}
