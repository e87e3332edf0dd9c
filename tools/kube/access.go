//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// admin may do everything: the group system:masters is above RBAC.
const admin = "admin"

type user struct{ name, token string }

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// makeUsers writes what kube-apiserver reads at its start: the key that signs
// service account tokens, made once, and the users' tokens. A user's token is
// derived from the key, so it is the same after every start.
func (s *servers) makeUsers(names string) error {
	key, err := os.ReadFile(s.path("service-account.key"))
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = newKey(); err == nil {
			err = writeFile(s.path("service-account.key"), key)
		}
	}
	if err != nil {
		return err
	}
	var rows strings.Builder
	for name := range strings.SplitSeq(admin+","+names, ",") {
		if name == "" || name == admin && len(s.users) > 0 {
			continue
		}
		if !validName.MatchString(name) {
			return fmt.Errorf("--users: %q is no name: use lower-case letters, digits, dashes and dots", name)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(name))
		u := user{name, hex.EncodeToString(mac.Sum(nil))}
		s.users = append(s.users, u)
		fmt.Fprintf(&rows, "%s,%s,%s", u.token, name, name) // token, user, uid, groups
		if name == admin {
			rows.WriteString(",system:masters")
		}
		rows.WriteByte('\n')
	}
	return writeFile(s.path("tokens.csv"), []byte(rows.String()))
}

// newKey makes an elliptic-curve key in PEM.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// authority is the certificate that vouches for the server: kube-apiserver makes
// it on its first start and keeps it in its --cert-dir, behind the server's own.
func (s *servers) authority() ([]byte, error) { return os.ReadFile(s.path("certs/apiserver.crt")) }

// waitReady returns nil once the API server says that it is ready and serves the
// namespace default, which it makes a moment later.
func (s *servers) waitReady(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for paths := []string{"/readyz", "/api/v1/namespaces/default"}; ; {
		err := s.get(ctx, paths[0])
		if err == nil {
			if paths = paths[1:]; len(paths) == 0 {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready within %s: %w", wait, err)
		case <-tick.C:
		}
	}
}

func (s *servers) get(ctx context.Context, path string) error {
	ca, err := s.authority()
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.users[0].token)
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return nil
}

// writeKubeconfigs writes admin's kubeconfig to file and each other user's to
// file.NAME.
func (s *servers) writeKubeconfigs(file string) error {
	ca, err := s.authority()
	if err != nil {
		return err
	}
	for _, u := range s.users {
		to := file
		if u.name != admin {
			to += "." + u.name
		}
		if err := writeFile(to, fmt.Appendf(nil, kubeconfig, s.url(), base64.StdEncoding.EncodeToString(ca), u.name, u.token)); err != nil {
			return err
		}
	}
	return nil
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: kube
clusters:
- name: kube
  cluster: {server: %[1]q, certificate-authority-data: %[2]s}
users:
- name: %[3]q
  user: {token: %[4]q}
contexts:
- name: kube
  context: {cluster: kube, user: %[3]q, namespace: default}
`

// writeFile writes a file that only its owner may read, in one step, so that
// nobody sees half of it or an old file's wider permissions.
func writeFile(name string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
