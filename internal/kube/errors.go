package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"hedgerow"
)

// statusError is an answer other than 200.
type statusError struct {
	code    int
	message string // the server's own, redacted, at most maxMessage long
	reason  string
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("HTTP %d", e.code)
	if t := http.StatusText(e.code); t != "" {
		s += " " + t
	}
	if e.message != "" {
		s += ": " + e.message
	}
	return s
}

// errNoTime says that a request was not made, for the pass would have ended
// before it.
var errNoTime = errors.New("no time is left")

// errSlow is the cause of a cancelled request whose answer stopped flowing.
var errSlow = errors.New("the answer came too slowly")

// explain turns whatever went wrong while doing op (a phrase such as "list
// switches") into an Error with a code, a sentence that people can act on, and
// no secret in it.
func (c *Client) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *hedgerow.Error
	if errors.As(err, &e) {
		return c.clean(e)
	}
	code, what, hint := c.classify(err)
	return c.clean(&hedgerow.Error{Code: code, Message: op + ": " + what, Hint: hint})
}

// explainIn is explain for what was done under ctx, the deadline of which is
// that of the whole pass.
func (c *Client) explainIn(ctx context.Context, op string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		err = errNoTime
	}
	return c.explain(op, err)
}

// clean takes out of an error what must not be seen, and what would fill the
// record: a server's own words, and those of its objects, have no limit. The
// cause is left behind, for it would say the same words again.
func (c *Client) clean(e *hedgerow.Error) *hedgerow.Error {
	return &hedgerow.Error{Code: e.Code, Message: clip(c.red.Text(e.Message), maxSentence), Hint: c.red.Text(e.Hint), Err: errors.New(string(e.Code))}
}

// clip shortens a text to about limit bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

func (c *Client) classify(err error) (code hedgerow.Code, what, hint string) {
	host := c.base.Host
	var (
		status  *statusError
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		nerr    net.Error
	)
	switch {
	case errors.As(err, &status):
		return c.classifyStatus(status)
	case errors.Is(err, errSlow):
		return hedgerow.CodeSlow, fmt.Sprintf("%s sent less than %d bytes in %s", host, minProgress, c.opt.Policy.RequestTimeout),
			"The network or the API server is overloaded; if it is only far away, raise --request-timeout."
	case errors.Is(err, errNoTime):
		return hedgerow.CodeTimeout, fmt.Sprintf("the time for the whole pass ran out before %s had answered everything", host),
			"Raise --pass-timeout, or find out why the API server is slow."
	case errors.As(err, &dns):
		if dns.IsTimeout {
			return hedgerow.CodeDNS, fmt.Sprintf("looking up %s took too long", dns.Name), "Check this machine's name servers."
		}
		return hedgerow.CodeDNS, fmt.Sprintf("the name %s does not resolve", dns.Name), "Check the server's name and this machine's name servers."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return hedgerow.CodeTLSExpired, certDates(invalid.Cert, host), "Renew the server's certificate, or check the clocks of both machines."
	case errors.As(err, &name):
		return hedgerow.CodeTLSName, fmt.Sprintf("the certificate of %s is made out for %s", host, certNames(name.Certificate)),
			"Use a name that the certificate carries, or name the one to expect with --tls-server-name."
	case errors.As(err, &unknown), errors.As(err, &invalid):
		return hedgerow.CodeTLSAuthority, fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted", host),
			"Give the cluster's authority with --ca-file, or a kubeconfig that holds it."
	case errors.As(err, &record):
		return hedgerow.CodeTLS, fmt.Sprintf("%s does not speak TLS", host), "Check the port, and whether the URL should begin with http://."
	case errors.As(err, &alert):
		return hedgerow.CodeTLS, fmt.Sprintf("%s refused the TLS handshake (%s)", host, alert), "Check the client certificate."
	case errors.Is(err, context.Canceled):
		return hedgerow.CodeInterrupted, "it was cancelled", ""
	// HTTP/2 has its own words for a server that says nothing any more.
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &nerr) && nerr.Timeout(),
		strings.Contains(err.Error(), "http2: client connection lost"):
		return hedgerow.CodeTimeout, fmt.Sprintf("%s did not answer in time", host), "Is a firewall dropping packets? --connect-timeout, --request-timeout and --pass-timeout say how long we wait."
	case errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "http2: "), strings.Contains(err.Error(), "stream error"):
		return hedgerow.CodeCut, fmt.Sprintf("%s ended its answer early", host), "The API server or something before it closed the connection; try again."
	case errors.Is(err, syscall.ECONNREFUSED):
		return hedgerow.CodeConnect, fmt.Sprintf("%s refused the connection", host), "Is the API server running, and is the port right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return hedgerow.CodeConnect, fmt.Sprintf("%s cannot be reached from here", host), "Check routes and firewalls."
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return hedgerow.CodeCut, fmt.Sprintf("%s closed the connection", host), "The API server or something before it closed the connection; try again."
	}
	return hedgerow.CodeConnect, err.Error(), ""
}

func (c *Client) classifyStatus(s *statusError) (code hedgerow.Code, what, hint string) {
	switch {
	case s.code == http.StatusUnauthorized:
		return hedgerow.CodeUnauthorized, fmt.Sprintf("%s does not accept our credential (401)", c.base.Host), "The token or certificate is wrong or has expired; give a new one with hedgerow fabric edit."
	case s.code == http.StatusForbidden:
		return hedgerow.CodeForbidden, "forbidden (403): " + s.message, "hedgerow fabric test prints the rights that are missing."
	case s.code == http.StatusNotFound:
		return hedgerow.CodeNotServed, "not found (404)", "The cluster does not serve this."
	case s.code == http.StatusGone:
		return hedgerow.CodeExpired, "the list changed too much between its pages (410)", "Raise --page-size, or set it to 0 for whole lists."
	case warming(s):
		return hedgerow.CodeThrottled, fmt.Sprintf("%s has just started and is still filling its cache (429)", c.base.Host), "Try again in a minute."
	case s.code == http.StatusTooManyRequests:
		return hedgerow.CodeThrottled, fmt.Sprintf("%s asks us to slow down (429), and waiting did not help", c.base.Host), "Lower --qps, or look for who else loads this API server."
	case s.code >= 500:
		return hedgerow.CodeServer, s.Error(), "Look at the API server's own log."
	case s.code >= 300 && s.code < 400:
		return hedgerow.CodeGarbage, fmt.Sprintf("%s answers with a redirect (%d), which is not followed", c.base.Host, s.code), "Give the URL of the API server itself."
	}
	return hedgerow.CodeGarbage, s.Error(), ""
}

func certDates(cert *x509.Certificate, host string) string {
	const day = "2006-01-02 15:04 MST"
	if cert == nil {
		return fmt.Sprintf("the certificate of %s is out of its dates", host)
	}
	return fmt.Sprintf("the certificate of %s is valid from %s to %s only", host, cert.NotBefore.UTC().Format(day), cert.NotAfter.UTC().Format(day))
}

func certNames(cert *x509.Certificate) string {
	if cert == nil {
		return "another name"
	}
	all := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	if len(all) > 5 {
		all = append(all[:5:5], "…")
	}
	return strings.Join(all, ", ")
}
