package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// serveAdmin serves /healthz, /readyz and /publishers, from the start until the listener is closed.
func (s *Server) serveAdmin() {
	if s.admin == nil {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.Err() == nil, s.Status())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		st := s.Status()
		answer(w, st.Ready && !st.Stopping && st.Outdated == "", st)
	})
	mux.HandleFunc("GET /publishers", s.answerPublishers)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	s.loops.Go(func() {
		_ = server.Serve(s.admin) // ends by Close
	})
	s.loops.Go(func() {
		<-s.ctx.Done()
		server.Close()
	})
}

// answerPublishers sends some of the publishers.
func (s *Server) answerPublishers(w http.ResponseWriter, r *http.Request) {
	var numbers [2]uint64
	for i, name := range []string{"after", "limit"} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			http.Error(w, fmt.Sprintf("%s=%q is not a number", name, text), http.StatusBadRequest)
			return
		}
		numbers[i] = n
	}
	answer(w, true, s.Publishers(numbers[0], int(min(numbers[1], MaxPublishers))))
}

// answer sends v as JSON, with 200 or 503.
func answer(w http.ResponseWriter, ok bool, v any) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(v) // the connection's own error
}
