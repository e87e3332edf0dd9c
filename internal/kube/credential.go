package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"hedgerow"
)

// Credential is what proves who we are to a cluster, and what the cluster must
// prove to us.
type Credential struct {
	CA         []byte // PEM; empty: the system's authorities
	ProxyURL   string // may hold a password
	Token      hedgerow.Secret
	ClientCert []byte // PEM
	ClientKey  hedgerow.Secret
	Username   string
	Password   hedgerow.Secret
}

// sealed is the form in which a credential is encrypted. No other type of the
// program can be serialised with a secret in it.
type sealed struct {
	CA         []byte `json:"ca,omitempty"`
	ProxyURL   string `json:"proxyUrl,omitempty"`
	Token      []byte `json:"token,omitempty"`
	ClientCert []byte `json:"clientCert,omitempty"`
	ClientKey  []byte `json:"clientKey,omitempty"`
	Username   string `json:"username,omitempty"`
	Password   []byte `json:"password,omitempty"`
}

// Pack returns the credential as one secret, for sealing.
func (c Credential) Pack() (hedgerow.Secret, error) {
	b, err := json.Marshal(sealed{c.CA, c.ProxyURL, c.Token.Reveal(), c.ClientCert, c.ClientKey.Reveal(), c.Username, c.Password.Reveal()})
	return hedgerow.NewSecret(b), err
}

// Unpack reverses Pack.
func Unpack(s hedgerow.Secret) (Credential, error) {
	var v sealed
	if err := json.Unmarshal(s.Reveal(), &v); err != nil {
		return Credential{}, hedgerow.Errorf(hedgerow.CodeStore, "the stored credential is damaged")
	}
	return Credential{v.CA, v.ProxyURL, hedgerow.NewSecret(v.Token), v.ClientCert, hedgerow.NewSecret(v.ClientKey), v.Username, hedgerow.NewSecret(v.Password)}, nil
}

// Auth names how the credential signs in: token, certificate, basic or none.
func (c Credential) Auth() string {
	switch {
	case !c.Token.IsZero():
		return "token"
	case len(c.ClientCert) > 0:
		return "certificate"
	case c.Username != "":
		return "basic"
	}
	return "none"
}

func (c Credential) secrets() []hedgerow.Secret {
	all := []hedgerow.Secret{c.Token, c.ClientKey, c.Password}
	if c.ProxyURL != "" {
		all = append(all, hedgerow.NewSecret([]byte(c.ProxyURL)))
		if u, err := url.Parse(c.ProxyURL); err == nil {
			password, _ := u.User.Password()
			all = append(all, hedgerow.NewSecret([]byte(password)))
		}
	}
	return all
}

// caFor is the authority to verify with; with verification off none may be
// given.
func (c Credential) caFor(cl hedgerow.Cluster) []byte {
	if cl.Insecure {
		return nil
	}
	return c.CA
}

// yamlLine finds the line number in a YAML parser's message, the only part of
// it that may be repeated: the rest can quote the file.
var yamlLine = regexp.MustCompile(`line (\d+)`)

// FromKubeconfig reads one context ("" is the current one) of a kubeconfig
// file, with the files that it points to. No part of the file's content
// appears in an error but the names of contexts, clusters and users.
func FromKubeconfig(file, context string) (hedgerow.Cluster, Credential, error) {
	var none hedgerow.Cluster
	bad := func(format string, args ...any) error {
		return hedgerow.Errorf(hedgerow.CodeInvalid, "kubeconfig %s: %s", file, fmt.Sprintf(format, args...))
	}
	conf, err := clientcmd.LoadFromFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return none, Credential{}, bad("there is no such file")
	} else if errors.Is(err, os.ErrPermission) {
		return none, Credential{}, bad("it may not be read")
	} else if err != nil {
		where := ""
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			where = " (line " + m[1] + ")"
		}
		return none, Credential{}, bad("it is not a valid kubeconfig%s", where)
	}
	if context == "" {
		context = conf.CurrentContext
	}
	cx := conf.Contexts[context]
	if cx == nil {
		return none, Credential{}, bad("it has no context %q; it has: %s", context, names(conf.Contexts))
	}
	cl, user := conf.Clusters[cx.Cluster], conf.AuthInfos[cx.AuthInfo]
	if cl == nil {
		return none, Credential{}, bad("context %q names the cluster %q, which it does not define", context, cx.Cluster)
	}
	if user == nil {
		return none, Credential{}, bad("context %q names the user %q, which it does not define", context, cx.AuthInfo)
	}
	if user.Exec != nil || user.AuthProvider != nil {
		return none, Credential{}, hedgerow.Errorf(hedgerow.CodeInvalid, "kubeconfig %s: user %q signs in by running a program, which Hedgerow does not do", file, cx.AuthInfo).
			WithHint("Make a ServiceAccount in the cluster and use its token: hedgerow fabric test prints the rights that it needs.")
	}
	if user.Impersonate != "" {
		return none, Credential{}, bad("user %q impersonates another, which is not supported", cx.AuthInfo)
	}
	cred, err := credentialOf(filepath.Dir(file), cl, user)
	if err != nil {
		return none, Credential{}, bad("%s", err)
	}
	out := hedgerow.Cluster{
		Server: cl.Server, TLSServerName: cl.TLSServerName, Insecure: cl.InsecureSkipTLSVerify,
		Auth: cred.Auth(), Context: context, Namespace: "default",
	}
	if _, err := ParseServer(out.Server); err != nil {
		return none, Credential{}, bad("cluster %q: %s", cx.Cluster, err)
	}
	return out, cred, nil
}

func credentialOf(dir string, cl *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) (Credential, error) {
	var first error
	data := func(what string, inline []byte, file string) []byte {
		if len(inline) > 0 || file == "" {
			return inline
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		b, err := os.ReadFile(file)
		if err != nil && first == nil {
			first = fmt.Errorf("its %s cannot be read from %s", what, file)
		}
		return b
	}
	c := Credential{
		CA:         data("certificate authority", cl.CertificateAuthorityData, cl.CertificateAuthority),
		ProxyURL:   cl.ProxyURL,
		ClientCert: data("client certificate", user.ClientCertificateData, user.ClientCertificate),
		ClientKey:  hedgerow.NewSecret(data("client key", user.ClientKeyData, user.ClientKey)),
		Username:   user.Username,
		Password:   hedgerow.NewSecret([]byte(user.Password)),
		Token:      hedgerow.NewSecret([]byte(user.Token)),
	}
	if c.Token.IsZero() {
		c.Token = hedgerow.NewSecret(trim(data("token", nil, user.TokenFile)))
	}
	return c, first
}

// FromFlags builds a credential from a token file and an authority file, each
// of which may be "".
func FromFlags(tokenFile, caFile string) (Credential, error) {
	var c Credential
	if tokenFile != "" {
		b, err := os.ReadFile(tokenFile)
		if err != nil {
			return c, hedgerow.Errorf(hedgerow.CodeInvalid, "token file: %w", err)
		}
		if len(trim(b)) == 0 {
			return c, hedgerow.Errorf(hedgerow.CodeInvalid, "token file %s is empty", tokenFile)
		}
		c.Token = hedgerow.NewSecret(trim(b))
	}
	if caFile != "" {
		b, err := os.ReadFile(caFile)
		if err != nil {
			return c, hedgerow.Errorf(hedgerow.CodeInvalid, "authority file: %w", err)
		}
		c.CA = b
	}
	return c, nil
}

func trim(b []byte) []byte { return []byte(strings.TrimSpace(string(b))) }

func names[V any](m map[string]V) string {
	var all []string
	for k := range m {
		all = append(all, fmt.Sprintf("%q", k))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(sorted(all), ", ")
}
