package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hedgerow"
)

// manifest returns the least RBAC that lets us observe kinds: reading, in the
// one namespace that is observed, and the cluster's definitions of kinds for
// their columns.
func (c *Client) manifest(ctx context.Context, kinds []hedgerow.Kind) string {
	var b strings.Builder
	subject, name := c.subject(ctx)
	role, binding, ns := "Role", "RoleBinding", fmt.Sprintf("\n  namespace: %s", c.cluster.Namespace)
	if c.cluster.Namespace == "" {
		role, binding, ns = "ClusterRole", "ClusterRoleBinding", ""
	}
	// A Role cannot grant what lies outside namespaces.
	inside := func(k hedgerow.Kind) bool { return k.Namespaced || role == "ClusterRole" }
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: hedgerow-observer-%s%s\nrules:\n", role, name, ns)
	rules(&b, kinds, inside)
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: hedgerow-observer-%s%s\n", binding, name, ns)
	fmt.Fprintf(&b, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: hedgerow-observer-%s}\nsubjects:\n- %s\n", role, name, subject)
	b.WriteString("---\n")
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: hedgerow-definitions-%s\nrules:\n", name)
	rules(&b, kinds, func(k hedgerow.Kind) bool { return !inside(k) })
	b.WriteString("# For printer columns and schemas; observing works without this rule.\n- apiGroups: [apiextensions.k8s.io]\n  resources: [customresourcedefinitions]\n  verbs: [get, list]\n")
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: hedgerow-definitions-%s\n", name)
	fmt.Fprintf(&b, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hedgerow-definitions-%s}\nsubjects:\n- %s\n", name, subject)
	return b.String()
}

// rules writes the right to read those kinds that only selects, a rule a group.
func rules(b *strings.Builder, kinds []hedgerow.Kind, only func(hedgerow.Kind) bool) {
	groups := map[string][]string{}
	for _, k := range kinds {
		if only(k) {
			groups[k.Group] = append(groups[k.Group], k.Plural)
		}
	}
	for _, g := range sorted(keysOf(groups)) {
		slices.Sort(groups[g])
		fmt.Fprintf(b, "- apiGroups: [%s]\n  resources: [%s]\n  verbs: [%s]\n", g, strings.Join(groups[g], ", "), strings.Join(verbs, ", "))
	}
}

// subject is whom to grant to, as YAML and as a part of names: the identity
// that the cluster takes us for, or a ServiceAccount to be made. Every subject
// has roles of its own name, so that granting to one takes nothing from another.
func (c *Client) subject(ctx context.Context) (yaml, name string) {
	who := c.whoAmI(ctx)
	if account, ok := strings.CutPrefix(who, "system:serviceaccount:"); ok {
		ns, n, _ := strings.Cut(account, ":")
		return fmt.Sprintf("{kind: ServiceAccount, name: %q, namespace: %q}", n, ns), label(ns + "-" + n)
	}
	if who != "" && who != "system:anonymous" {
		return fmt.Sprintf("{kind: User, apiGroup: rbac.authorization.k8s.io, name: %q}", who), label(who)
	}
	ns := c.cluster.Namespace
	if ns == "" {
		ns = "default"
	}
	return fmt.Sprintf("{kind: ServiceAccount, name: hedgerow, namespace: %s}", ns), label(ns)
}

// label makes a text fit for the name of an object.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return strings.Trim(s[:min(len(s), 63)], "-")
}
