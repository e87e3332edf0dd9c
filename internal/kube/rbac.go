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
	role, binding, ns := "Role", "RoleBinding", fmt.Sprintf("\n  namespace: %s", c.cluster.Namespace)
	if c.cluster.Namespace == "" {
		role, binding, ns = "ClusterRole", "ClusterRoleBinding", ""
	}
	// A Role cannot grant what lies outside namespaces.
	inside := func(k hedgerow.Kind) bool { return k.Namespaced || role == "ClusterRole" }
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: hedgerow-observer%s\nrules:\n", role, ns)
	rules(&b, kinds, inside)
	subject := c.subject(ctx)
	fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: hedgerow-observer%s\n", binding, ns)
	fmt.Fprintf(&b, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: hedgerow-observer}\nsubjects:\n- %s\n", role, subject)
	b.WriteString("---\n# For printer columns and schemas; it works without.\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: hedgerow-definitions\nrules:\n")
	rules(&b, kinds, func(k hedgerow.Kind) bool { return !inside(k) })
	b.WriteString("- apiGroups: [apiextensions.k8s.io]\n  resources: [customresourcedefinitions]\n  verbs: [get, list]\n")
	b.WriteString("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: hedgerow-definitions\n")
	fmt.Fprintf(&b, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hedgerow-definitions}\nsubjects:\n- %s\n", subject)
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

// subject is whom to grant to: the identity that the cluster takes us for, or
// a ServiceAccount to be made.
func (c *Client) subject(ctx context.Context) string {
	who := c.whoAmI(ctx)
	if account, ok := strings.CutPrefix(who, "system:serviceaccount:"); ok {
		ns, name, _ := strings.Cut(account, ":")
		return fmt.Sprintf("{kind: ServiceAccount, name: %s, namespace: %s}", name, ns)
	}
	if who != "" && who != "system:anonymous" {
		return fmt.Sprintf("{kind: User, apiGroup: rbac.authorization.k8s.io, name: %q}", who)
	}
	ns := c.cluster.Namespace
	if ns == "" {
		ns = "default"
	}
	return fmt.Sprintf("{kind: ServiceAccount, name: hedgerow, namespace: %s}", ns)
}
