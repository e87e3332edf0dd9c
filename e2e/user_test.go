package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow/e2e/lab"
)

// TestUsers: who may sign in is managed from the shell, and what is wrong is
// said in a sentence.
func TestUsers(t *testing.T) {
	t.Parallel()
	h := lab.New(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.OK(t, "fabric", "add", "lab", "--server", "https://127.0.0.1:1", "--token-file", token, "--insecure")
	password := strings.TrimSpace(h.OK(t, "user", "add", "ada", "--role", "admin"))
	if len(password) < 20 {
		t.Errorf("password of %d characters", len(password))
	}
	h.OKWith(t, bobPassword+"\n", "user", "add", "bob", "--fabric", "lab=viewer", "--password-stdin")
	if again := strings.TrimSpace(h.OK(t, "user", "password", "ada")); again == password {
		t.Error("a new password is the old one")
	}
	type user struct {
		Name, Role string
		Fabrics    map[string]string
	}
	var got []user
	h.JSON(t, &got, []string{"user", "list", "-o", "json"})
	want := []user{{"ada", "admin", map[string]string{}}, {"bob", "", map[string]string{"lab": "viewer"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("users (-want +got):\n%s", d)
	}
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"user add ada --role viewer", 2, "there is a user \"ada\" already"},
		{"user add carol", 2, "carol would see nothing"},
		{"user add carol --role king", 2, "there is no role \"king\""},
		{"user add carol --fabric lab", 2, "there is no role \"\""},
		{"user add carol --fabric nope=viewer", 4, "there is no fabric \"nope\""},
		{"user add a/b --role viewer", 2, "is no name for a user"},
		{"user password carol", 4, "there is no user \"carol\""},
		{"user remove carol", 4, "there is no user \"carol\""},
		{"serve --url ftp://x", 2, "--url must be the address of the pages"},
	} {
		r := h.Run(t, strings.Fields(tc.args)...)
		if r.Code != tc.code || !strings.Contains(r.Stderr, tc.says) {
			t.Errorf("%s: exit %d: %s", tc.args, r.Code, r.Stderr)
		}
	}
	h.OK(t, "user", "remove", "bob")
}
