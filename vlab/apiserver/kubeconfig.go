package apiserver

import (
	"encoding/base64"
	"fmt"
	"path/filepath"

	"hedgerow/vlab/access"
)

// Kubeconfig is the text of a kubeconfig for one user, with the CA inside.
func (s *Server) Kubeconfig(u access.User) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: vlab
clusters:
- name: vlab
  cluster:
    server: %q
    certificate-authority-data: %s
users:
- name: %q
  user:
    token: %q
contexts:
- name: vlab
  context:
    cluster: vlab
    user: %q
    namespace: default
`, s.URL, base64.StdEncoding.EncodeToString(s.CA), u.Name, u.Token, u.Name)
}

// WriteKubeconfigs writes the first user's kubeconfig to file, or admin's where there is an admin, and every other
// user's beside it as file.NAME. Only the owner may read them.
func (s *Server) WriteKubeconfigs(file string) error {
	users := s.Users()
	first := users[0].Name
	if _, ok := s.policy.Load().ByName("admin"); ok {
		first = "admin"
	}
	for _, u := range users {
		name := file
		if u.Name != first {
			name += "." + filepath.Base(u.Name)
		}
		if err := writeFile(name, s.Kubeconfig(u)); err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", u.Name, err)
		}
	}
	return nil
}
