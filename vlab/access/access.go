// Package access says who may do what in the laboratory: users with bearer tokens, and for each user the verbs, API
// groups, resources and namespaces that are open to them.
//
// It is pure: it parses the users file and decides. Reading the file again when it changes, and turning a decision into
// an HTTP answer, is the API server's work.
package access

import (
	"slices"
	"strings"
	"time"
)

// All is the wildcard in verbs, groups and resources.
const All = "*"

// Masters is the group whose members may do everything, as in Kubernetes.
const Masters = "system:masters"

// Verbs are the verbs that a rule may name, besides All.
var Verbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// User is somebody with a token.
type User struct {
	Name   string
	Token  string
	Groups []string
	Rules  []Rule
	// Expires is when the token stops being good; never when zero.
	Expires time.Time
}

// Rule opens resources: a request is allowed when any rule of the user matches all of it.
type Rule struct {
	Verbs []string `yaml:"verbs,flow"`
	// Groups are API groups; "" is the core group.
	Groups []string `yaml:"groups,flow"`
	// Resources are plural names ("switches"), subresources ("switches/status", "*/status"), or All, which includes
	// every subresource.
	Resources []string `yaml:"resources,flow"`
	// Namespaces limits the rule to requests inside these namespaces. Without it the rule holds for every namespace,
	// for lists across all of them, and for resources outside of namespaces.
	Namespaces []string `yaml:"namespaces,omitempty,flow"`
}

// Request is one thing that somebody wants to do with a resource.
type Request struct {
	Verb, Group, Resource, Subresource, Namespace string
}

// Policy is the users of one file. It does not change once made.
type Policy struct {
	users   []User
	byToken map[string]*User
	byName  map[string]*User
}

func newPolicy(users []User) *Policy {
	p := &Policy{users: users, byToken: map[string]*User{}, byName: map[string]*User{}}
	for i := range users {
		p.byToken[users[i].Token] = &users[i]
		p.byName[users[i].Name] = &users[i]
	}
	return p
}

// Users returns all users in the order of the file.
func (p *Policy) Users() []User { return slices.Clone(p.users) }

// ByName returns the user of that name.
func (p *Policy) ByName(name string) (User, bool) {
	if u := p.byName[name]; u != nil {
		return *u, true
	}
	return User{}, false
}

// ByToken returns the user of a token; expired tells a token that was good once from one that never was.
func (p *Policy) ByToken(token string, now time.Time) (u User, ok, expired bool) {
	found := p.byToken[token]
	if found == nil {
		return User{}, false, false
	}
	expired = !found.Expires.IsZero() && !now.Before(found.Expires)
	return *found, !expired, expired
}

// Allows says whether the named user may do r.
func (p *Policy) Allows(name string, r Request) bool {
	u := p.byName[name]
	return u != nil && (slices.Contains(u.Groups, Masters) || slices.ContainsFunc(u.Rules, func(rule Rule) bool { return rule.matches(r) }))
}

// Everything says whether the named user has a rule without any limit.
func (p *Policy) Everything(name string) bool {
	return p.Allows(name, Request{Verb: All, Group: All, Resource: All})
}

func (r Rule) matches(q Request) bool {
	return has(r.Verbs, q.Verb) && has(r.Groups, q.Group) && r.matchesResource(q.Resource, q.Subresource) &&
		(len(r.Namespaces) == 0 || q.Namespace != "" && has(r.Namespaces, q.Namespace))
}

func (r Rule) matchesResource(resource, sub string) bool {
	if sub == "" {
		return has(r.Resources, resource)
	}
	return has(r.Resources, resource+"/"+sub) || slices.Contains(r.Resources, All+"/"+sub)
}

func has(list []string, s string) bool {
	return slices.Contains(list, All) || slices.Contains(list, s)
}

// String is a short form for messages, like "get,list of vpc.githedgehog.com/vpcs".
func (r Rule) String() string {
	return strings.Join(r.Verbs, ",") + " of " + strings.Join(r.Groups, ",") + "/" + strings.Join(r.Resources, ",")
}

// In says whether the rule counts for requests inside namespace.
func (r Rule) In(namespace string) bool {
	return len(r.Namespaces) == 0 || has(r.Namespaces, namespace)
}
