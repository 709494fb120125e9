package server

import (
	"encoding/json"
	"net/http"
	"time"
)

// serveAdmin serves /healthz and /readyz, from the start until the listener is closed.
func (s *Server) serveAdmin() {
	if s.admin == nil {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, s.Err() == nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, s.isReady() && !s.isStopping())
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	s.loops.Go(func() {
		_ = server.Serve(s.admin) // ends by Close
	})
	s.loops.Go(func() {
		<-s.ctx.Done()
		server.Close()
	})
}

// answer sends the status as JSON, with 200 or 503.
func (s *Server) answer(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(s.Status()) // the connection's own error
}
