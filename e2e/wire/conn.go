package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// muteness says how far the proxy goes with a new connection.
type muteness int

const (
	speaks    muteness = iota
	muteTCP            // accepts, and says nothing
	muteTLS            // shakes hands, and says nothing more
	closesTCP          // accepts, and closes
)

// listener hands the connections on that the server is to answer.
type listener struct {
	net.Listener
	proxy *Proxy
}

// Accept keeps the connections for itself on which the proxy is silent.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p := l.proxy
		p.mu.Lock()
		mute := p.mute
		if mute != speaks {
			p.held = append(p.held, c)
		}
		p.mu.Unlock()
		switch mute {
		case speaks:
			w := &walled{c, p}
			p.mu.Lock()
			p.live[w] = true
			p.mu.Unlock()
			return tls.Server(w, p.tlsConfig()), nil
		case muteTLS:
			go func() { _ = tls.Server(c, p.tlsConfig()).Handshake() }() // the client may have gone
		case closesTCP:
			_ = c.Close()
		}
	}
}

func (p *Proxy) tlsConfig() *tls.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	protos := []string{"h2", "http/1.1"}
	if p.http1 {
		protos = protos[1:]
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*p.cert}, NextProtos: protos}
}

func (p *Proxy) listen(addr string) {
	p.tb.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		p.tb.Fatal(err)
	}
	l := &listener{ln, p}
	p.mu.Lock()
	p.ln, p.addr = l, ln.Addr().String()
	p.mu.Unlock()
	go func() { _ = p.server.Serve(&once{Listener: l}) }() // until the listener is closed
}

// once may be closed twice: by Refuse and by the server.
type once struct {
	net.Listener
	sync.Once
}

func (o *once) Close() error {
	o.Do(func() { _ = o.Listener.Close() })
	return nil
}

// Refuse closes the listener: new connections are refused.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	ln, held := p.ln, p.held
	p.ln, p.held = nil, nil
	p.mu.Unlock()
	if ln != nil {
		_ = ln.Close()
	}
	for _, c := range held {
		_ = c.Close()
	}
}

// Accept ends a Refuse, on the same address.
func (p *Proxy) Accept() {
	p.tb.Helper()
	p.mu.Lock()
	refusing := p.ln == nil
	p.mu.Unlock()
	if refusing {
		p.listen(p.addr)
	}
}

func (p *Proxy) setMute(m muteness) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = m
}

// Firewall lets no byte pass any more, on the connections that there are and
// on new ones, as a firewall does that drops packets. Clear ends it.
func (p *Proxy) Firewall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wall == nil {
		p.wall = make(chan struct{})
	}
}

// Disconnect closes the connections that there are.
func (p *Proxy) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.live {
		_ = w.Conn.Close() // it may be closed already
	}
	clear(p.live)
}

// walled is a connection that a Firewall stops.
type walled struct {
	net.Conn
	proxy *Proxy
}

func (w *walled) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.wait()
	return n, err
}

func (w *walled) Write(b []byte) (int, error) {
	w.wait()
	return w.Conn.Write(b)
}

// Close closes the connection, and forgets it.
func (w *walled) Close() error {
	w.proxy.mu.Lock()
	delete(w.proxy.live, w)
	w.proxy.mu.Unlock()
	return w.Conn.Close()
}

// wait until there is no wall, or the test ends.
func (w *walled) wait() {
	w.proxy.mu.Lock()
	wall := w.proxy.wall
	w.proxy.mu.Unlock()
	if wall == nil {
		return
	}
	select {
	case <-wall:
	case <-w.proxy.served:
	}
}

// MuteTCP accepts connections and says nothing on them, not even TLS.
func (p *Proxy) MuteTCP() { p.setMute(muteTCP) }

// MuteTLS shakes hands and says nothing more.
func (p *Proxy) MuteTLS() { p.setMute(muteTLS) }

// CloseTCP accepts connections and closes them.
func (p *Proxy) CloseTCP() { p.setMute(closesTCP) }

// HTTP1 makes the proxy speak HTTP/1.1 only.
func (p *Proxy) HTTP1() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.http1 = true
}

func (p *Proxy) setCert(c *tls.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cert = c
}

// UnknownCA shows a certificate of an authority that nobody knows.
func (p *Proxy) UnknownCA() { p.setCert(newAuthority(p.tb).good(p.tb)) }

// Expired shows a certificate that was valid until yesterday.
func (p *Proxy) Expired() {
	p.setCert(p.ca.issue(p.tb, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, -30), time.Now().AddDate(0, 0, -1)
	}))
}

// Misnamed shows a certificate that is made out for other names.
func (p *Proxy) Misnamed(names ...string) {
	p.setCert(p.ca.issue(p.tb, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, names }))
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "wire authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) good(tb testing.TB) *tls.Certificate { return a.issue(tb, nil) }

func (a *authority) issue(tb testing.TB, change func(*x509.Certificate)) *tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "wire"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	if change != nil {
		change(t)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
