package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/reload"
)

// readToken reads the token of the admin port from a file and returns its hash.
func readToken(file string) (sum tokenSum, err error) {
	text, err := reload.ReadFile(file, maxToken, 0o077)
	if err != nil {
		return sum, fmt.Errorf("cannot be read: %w", err)
	}
	token := bytes.TrimSpace(text)
	if len(token) < minToken || slices.ContainsFunc(token, func(b byte) bool { return b <= ' ' || b > '~' }) {
		return sum, fmt.Errorf("%s does not contain a token: it must be one line of at least %d printable ASCII characters without spaces", file, minToken)
	}
	return sha256.Sum256(token), nil
}

// isPublic reports whether a path needs no token: a load balancer has none, and a browser sends
// none for the page itself, which has no data of the instance.
func isPublic(path string) bool {
	_, ofPage := pageFiles[path]
	return ofPage || path == "/livez" || path == "/readyz"
}

// requireToken lets only requests with the token pass, if there is one.
func (s *Server) requireToken(next http.Handler) http.Handler {
	if s.files.token == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !isPublic(r.URL.Path) && (!found || !s.files.token().matches(token)) {
			if r.URL.Path == actionsPath && r.Method == http.MethodPost {
				s.audit.controlRefused(r.RemoteAddr, "the token is missing or wrong")
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="holdfastd"`)
			http.Error(w, "the token of the admin port is missing or wrong: send the header 'Authorization: Bearer TOKEN', with the content of the file that admin.token names", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secureAdmin puts TLS on the admin port if it has it.
func (s *Server) secureAdmin(l net.Listener) net.Listener {
	if s.files.adminTLS == nil {
		return l
	}
	return tls.NewListener(l, s.files.adminTLS)
}

// warnPlainToken warns about a token that crosses a network in plain text.
func (s *Server) warnPlainToken() {
	if s.files.token != nil && s.files.adminTLS == nil && !isLoopback(s.cfg.Admin.Listen) {
		s.log.Warn("the admin port has a token but no TLS: whoever reads the traffic can read the token", "address", s.cfg.Admin.Listen)
	}
}
