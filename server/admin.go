package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/visible"
)

// Bounds for a client of the admin port.
const (
	adminConns   = 16               // connections at once; one more closes the oldest
	adminRead    = 5 * time.Second  // to receive a request
	adminWrite   = 10 * time.Second // to write the response
	adminHeaders = 8 << 10          // of a request, bytes
)

// MaxSessionsPerPage is the largest number of sessions in a page of /status. Server.Status returns
// all sessions.
const MaxSessionsPerPage = 1000

// Readiness is the response of /readyz, see Server.AdminAddr.
type Readiness struct {
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Ready      bool       `json:"ready"`              // clients are served
	Stopping   bool       `json:"stopping"`           // the stop has begun
	CatchingUp bool       `json:"catching_up"`        // the instance lacks, or may lack, messages of its peers, ready or not
	Sync       SyncStatus `json:"sync"`               // as in Status
	Outdated   string     `json:"outdated,omitempty"` // as in Status
	Reason     string     `json:"reason,omitempty"`   // why clients are not served, for people
}

// serveAdmin serves the endpoints of AdminAddr, from the start until the server ends.
func (s *Server) serveAdmin() {
	if s.adminListener == nil {
		return
	}
	mux := s.admin
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		if s.Err() != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.readiness()
		respondJSON(w, r.Ready && !r.Stopping && r.Outdated == "", r)
	})
	mux.HandleFunc("GET /insync", s.answerInSync)
	mux.HandleFunc("GET /status", s.answerStatus)
	mux.HandleFunc("GET /publishers", s.answerPublishers)
	mux.HandleFunc("GET /lag", s.answerLag)
	mux.HandleFunc("GET "+actionsPath, s.answerActions)
	mux.HandleFunc("POST "+actionsPath, s.answerAction)
	mux.HandleFunc("GET /{$}", answerPage)
	mux.HandleFunc("GET "+pagePrefix, answerPage)
	server := &http.Server{
		Handler: guardHeaders(s.requireToken(rejectBody(mux))), MaxHeaderBytes: adminHeaders,
		ReadTimeout: adminRead, WriteTimeout: adminWrite, IdleTimeout: adminRead,
		ErrorLog: log.New(adminErrors{s.linkLog()}, "", 0),
	}
	if failpoint.On(failpoint.AdminUnbounded) {
		server = &http.Server{Handler: mux}
	}
	s.warnPlainToken()
	s.loops.Go(func() {
		_ = server.Serve(s.secureAdmin(&cappedListener{Listener: s.adminListener})) // returns when the server is closed
	})
	s.loops.Go(func() {
		<-s.ctx.Done()
		server.Close()
	})
	s.loops.Go(s.sampleLags)
}

// adminErrors writes the errors of the HTTP server to the log, such as failed handshakes.
type adminErrors struct{ log *slog.Logger }

func (a adminErrors) Write(text []byte) (int, error) {
	a.log.Warn("the admin port could not serve a connection", "error", string(bytes.TrimSpace(text)))
	return len(text), nil
}

// rejectBody refuses a request with a body, without reading it: only an action needs one.
func rejectBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isAction := r.Method == http.MethodPost && r.URL.Path == actionsPath && r.ContentLength <= maxActionBody
		if r.ContentLength != 0 && !isAction {
			w.Header().Set("Connection", "close")
			http.Error(w, "a request must not have a body", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readiness returns the response of /readyz.
func (s *Server) readiness() Readiness {
	links := s.links.Load()
	return Readiness{
		Name: s.cfg.Name, Version: s.cfg.Version, Ready: s.isReady(), Stopping: s.isStopping(),
		CatchingUp: s.catchingUp(), Sync: s.instance.SyncStatus(), Outdated: links.OutdatedReason(),
		Reason: s.notReadyReason(),
	}
}

// page reduces st to the sessions with names above after, at most limit of them.
func (st *Status) page(after string, limit int) {
	if limit < 1 {
		limit = MaxSessionsPerPage
	}
	slices.SortFunc(st.Sessions, func(a, b SessionStatus) int { return cmp.Compare(a.Name, b.Name) })
	at, _ := slices.BinarySearchFunc(st.Sessions, after, func(s SessionStatus, name string) int {
		if s.Name <= name && name != "" {
			return -1
		}
		return 1
	})
	st.Sessions = st.Sessions[at:]
	if st.SessionsMore = len(st.Sessions) > limit; st.SessionsMore {
		st.Sessions = st.Sessions[:limit]
	}
}

// answerPublishers sends a page of the publishers.
func (s *Server) answerPublishers(w http.ResponseWriter, r *http.Request) {
	after, ok := queryNumber(w, r, "after")
	if !ok {
		return
	}
	if limit, ok := queryNumber(w, r, "limit"); ok {
		s.surveys.respond(w, r, func() any { return s.Publishers(after, int(min(limit, MaxPublishersPerPage))) })
	}
}

// queryNumber returns a number from the query of the request, 0 if the parameter is missing. If the
// parameter is not a number, queryNumber sends an error response and ok is false.
func queryNumber(w http.ResponseWriter, r *http.Request, name string) (n uint64, ok bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		http.Error(w, fmt.Sprintf("%s=%.40q is not a number", name, text), http.StatusBadRequest)
	}
	return n, err == nil
}

// respondJSON sends v as JSON, with status 200 if ok and 503 if not.
func respondJSON(w http.ResponseWriter, ok bool, v any) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(visible.NewJSONWriter(w)).Encode(v) // an error of the connection is the client's
}

// A cappedListener closes the oldest of its connections when there are too many, so that clients
// which keep connections open cannot keep others out.
type cappedListener struct {
	net.Listener
	mu   sync.Mutex
	open []*adminConn // guarded by mu, oldest first
}

func (l *cappedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &adminConn{Conn: conn, l: l}
	var oldest *adminConn
	l.mu.Lock()
	if l.open = append(l.open, c); len(l.open) > adminConns && !failpoint.On(failpoint.AdminUnbounded) {
		oldest = l.open[0]
	}
	l.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return c, nil
}

// An adminConn removes itself from its listener's list when it is closed.
type adminConn struct {
	net.Conn
	l *cappedListener
}

func (c *adminConn) Close() error {
	c.l.mu.Lock()
	c.l.open = slices.DeleteFunc(c.l.open, func(o *adminConn) bool { return o == c })
	c.l.mu.Unlock()
	return c.Conn.Close()
}
