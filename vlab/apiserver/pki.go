package apiserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	// renewBefore replaces a server certificate at start when it would soon run out under a running server.
	renewBefore = 30 * 24 * time.Hour
)

// pki is a certificate authority and the server certificate that it signed, as PEM. Both are kept on disk, so that
// kubeconfigs stay valid when the server restarts.
type pki struct {
	caPEM         []byte
	cert, certKey string // file names
}

// loadPKI reads or makes the CA and a server certificate for the given names and addresses in dir.
func loadPKI(dir string, hosts []string, now time.Time) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &pki{cert: filepath.Join(dir, "server.crt"), certKey: filepath.Join(dir, "server.key")}
	caCert, caKey, err := loadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), now)
	if err != nil {
		return nil, err
	}
	p.caPEM = pemBlock("CERTIFICATE", caCert.Raw)
	if have, _, err := readPair(p.cert, p.certKey); err == nil && serves(have, caCert, hosts, now) {
		return p, nil
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "vlab"},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(serverLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	if _, _, err = issue(p.cert, p.certKey, template, caCert, caKey); err != nil {
		return nil, fmt.Errorf("make the server certificate: %w", err)
	}
	return p, nil
}

func loadCA(certFile, keyFile string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	cert, key, err := readPair(certFile, keyFile)
	switch {
	case err == nil && now.Before(cert.NotAfter):
		return cert, key, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, nil, fmt.Errorf("read the certificate authority: %w (remove %s to make a new one)", err, filepath.Dir(certFile))
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "vlab-ca"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	cert, key, err = issue(certFile, keyFile, template, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	return cert, key, nil
}

// issue makes a key and a certificate for it and writes both; without a parent the certificate signs itself.
func issue(certFile, keyFile string, template, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	if err := writeFile(keyFile, pemBlock("PRIVATE KEY", keyDER)); err != nil {
		return nil, nil, err
	}
	if err := writeFile(certFile, pemBlock("CERTIFICATE", der)); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func readPair(certFile, keyFile string) (*x509.Certificate, crypto.Signer, error) {
	certDER, err := readPEM(certFile)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := readPEM(keyFile)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", certFile, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s: a %T cannot sign", keyFile, key)
	}
	return cert, signer, nil
}

func readPEM(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: not PEM", file)
	}
	return block.Bytes, nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// serves says whether cert is good for all hosts, signed by ca, and for a while yet.
func serves(cert, ca *x509.Certificate, hosts []string, now time.Time) bool {
	return cert.CheckSignatureFrom(ca) == nil && now.Add(renewBefore).Before(cert.NotAfter) &&
		!slices.ContainsFunc(hosts, func(h string) bool { return cert.VerifyHostname(h) != nil })
}

// writeFile replaces a file in one step, readable by its owner only.
func writeFile(name string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
