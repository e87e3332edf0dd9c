package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hedgerow/e2e/lab"
)

// TestNewcomer: what people type who do not know the program yet, and what it
// must not let them believe.
func TestNewcomer(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	rules := `
- name: admin
  token: newcomer-admin-token
  rules: [{verbs: ["*"], groups: ["*"], resources: ["*"]}]
- name: partial
  token: newcomer-partial-token
  rules:
  - {verbs: [get, list, watch], groups: [vpc.githedgehog.com], resources: ["*"]}
  - {verbs: [get, list, watch], groups: [wiring.githedgehog.com], resources: [servers]}
`
	if err := os.WriteFile(tokens, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	c := lab.Vlab(t, "--fabric", "spine-leaf", "--tokens", tokens)
	h := lab.New(t)

	// Several commands may open a record that does not exist yet.
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if r := h.Run(t, "fabric", "list"); r.Code != 0 {
				t.Errorf("fabric list on a fresh record: exit %d\n%s", r.Code, r.Stderr)
			}
		})
	}
	wg.Wait()

	h.OK(t, "fabric", "add", "lab", "--kubeconfig", c.Kubeconfig)
	h.OK(t, "fabric", "add", "part", "--kubeconfig", c.Kubeconfig+".partial")
	h.OK(t, "fabric", "add", "typo", "--kubeconfig", c.Kubeconfig, "-n", "nowhere")
	h.OK(t, "fabric", "add", "new", "--kubeconfig", c.Kubeconfig)
	h.OK(t, "sync", "lab")
	for _, tc := range []struct {
		args string
		code int
		says []string
		not  string
	}{
		{args: "sync typo", code: 1, says: []string{"there is no namespace nowhere"}},
		{args: "status typo", says: []string{"Error", "there is no namespace nowhere"}, not: "In sync"},
		{args: "fabric test typo", code: 1, says: []string{"there is no namespace nowhere"}},
		{args: "sync part", code: 3, says: []string{"forbidden"}},
		{args: "get switches -F part", code: 1, says: []string{"never been read whole"}},
		{args: "get switches,vpcs -F part", code: 1, says: []string{"never been read whole"}},
		{args: "get switches,servers -F part -o name", code: 1, says: []string{"server.wiring.githedgehog.com/server-01", "never been read whole"}},
		{args: "get servers -A", says: []string{"lab      server-01", "nothing is known of fabric new"}},
		{args: "get sw,switches -F lab --no-headers -o name", says: []string{"leaf-01", "proven"}},
		{args: "fabric edit lab -n elsewhere", code: 2, says: []string{"would make its objects look deleted"}},
		{args: "fabric edit lab --exclude nonsense", code: 2, says: []string{`no kind "nonsense"`}},
		{args: "fabric edit lab --max-delete-share 0", code: 2, says: []string{"must be more than 0"}},
		{args: "history -F lab --limit -1", code: 2, says: []string{"--limit must be 1 or more"}},
		{args: "history switch nope -F lab", code: 4, says: []string{"knows no Switch"}},
		{args: "history -F lab --limit 5", says: []string{"there may be older ones"}},
		{args: "runs -F lab --limit 0", code: 2, says: []string{"--limit must be 1 or more"}},
		{args: "fabric lst", code: 2, says: []string{`no subcommand "lst"`}},
		{args: "run 12", code: 2, says: []string{`no subcommand "12"`}},
		{args: "nonsense", code: 2, says: []string{"unknown command"}},
		{args: "sync", code: 2, says: []string{"there are several fabrics: lab, new, part, typo"}},
		{args: "key reset", code: 2, says: []string{"forget every credential"}},
	} {
		r := h.Run(t, strings.Fields(tc.args)...)
		all := r.Stdout + r.Stderr
		if r.Code != tc.code {
			t.Errorf("hedgerow %s: exit %d, want %d\n%s", tc.args, r.Code, tc.code, all)
		}
		for _, s := range tc.says {
			if !strings.Contains(all, s) {
				t.Errorf("hedgerow %s does not say %q:\n%s", tc.args, s, all)
			}
		}
		if tc.not != "" && strings.Contains(all, tc.not) {
			t.Errorf("hedgerow %s says %q:\n%s", tc.args, tc.not, all)
		}
	}
	if n := strings.Count(h.OK(t, "get", "sw,switches", "-F", "lab", "-o", "name"), "leaf-01"); n != 1 {
		t.Errorf("an object that two words name shows %d times", n)
	}

	// A lost key file: what the hint says must work.
	if err := os.Remove(filepath.Join(h.Dir, "key.json")); err != nil {
		t.Fatal(err)
	}
	if r := h.Run(t, "sync", "lab"); r.Code != 1 || !strings.Contains(r.Stderr, "key reset --yes") {
		t.Errorf("sync without the key file: exit %d\n%s", r.Code, r.Stderr)
	}
	h.OK(t, "get", "sw", "-F", "lab") // what is recorded can be read
	h.OK(t, "key", "reset", "--yes")
	if r := h.Run(t, "sync", "lab"); r.Code != 1 || !strings.Contains(r.Stderr, "has no credential") {
		t.Errorf("sync after the reset: exit %d\n%s", r.Code, r.Stderr)
	}
	h.OK(t, "fabric", "edit", "lab", "--kubeconfig", c.Kubeconfig)
	if out := h.OK(t, "sync", "lab"); !strings.Contains(out, "48 unchanged") {
		t.Errorf("sync with the credential given anew:\n%s", out)
	}
}
