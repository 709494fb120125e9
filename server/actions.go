package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/visible"
)

// The actions of the admin port, see Server.AdminAddr. Each has the arguments of its comment.
const (
	// ActionSingle leaves a peer out of acks now, before it is stopped for maintenance: the name of
	// the peer. Acks wait for it again after ActionCount, or once it has disconnected, is back, and
	// has caught up.
	ActionSingle = "single"
	// ActionCount lets acks wait for a peer again once it has caught up: the name of the peer.
	ActionCount = "count"
	// ActionDrain stops the instance as Shutdown does. It has no arguments.
	ActionDrain = "drain"
	// ActionDisconnect ends the session of a client: its name. The client may log on again.
	ActionDisconnect = "disconnect"
	// ActionLogLevel sets the lowest level of the log, as Server.SetLogLevel does: debug, info, warn
	// or error.
	ActionLogLevel = "log-level"
)

// An ActionRequest is the body of a request of an action.
type ActionRequest struct {
	Action string   `json:"action"` // a constant such as ActionSingle
	Args   []string `json:"args,omitempty"`
}

// An ActionReply is the response to an ActionRequest.
type ActionReply struct {
	Done bool   `json:"done"`
	Text string `json:"text"` // the result, or why the action was not done, for people
}

// An ActionList says which actions an instance offers.
type ActionList struct {
	Name      string   `json:"name"`             // of the instance
	Permitted bool     `json:"permitted"`        // this request would be allowed to act
	Reason    string   `json:"reason,omitempty"` // why not, for people
	Actions   []string `json:"actions"`
}

const (
	actionsPath   = "/actions"
	maxActionBody = 8 << 10 // bytes
	maxArgs       = 4
)

// offeredActions are the actions of an instance.
var offeredActions = []string{ActionSingle, ActionCount, ActionDrain, ActionDisconnect, ActionLogLevel}

// answerActions lists the actions.
func (s *Server) answerActions(w http.ResponseWriter, r *http.Request) {
	list := ActionList{Name: s.cfg.Name, Permitted: true, Actions: offeredActions}
	if err := s.mayAct(r); err != nil {
		list.Permitted, list.Reason = false, err.Error()
	}
	respondJSON(w, true, list)
}

// mayAct returns an error if a request must not act. A request with a wrong token does not come
// here. Without a token a certificate of the client is needed, even on loopback: there every user
// of the machine, and every page in a browser on it, can reach the port.
func (s *Server) mayAct(r *http.Request) error {
	certified := r.TLS != nil && len(r.TLS.VerifiedChains) > 0
	if s.files.token == nil && !certified && !failpoint.On(failpoint.AdminActsFreely) {
		return errors.New("actions need a permission: name a token as admin.token, or an authority of client certificates in admin.tls")
	}
	return nil
}

// answerAction executes an action.
func (s *Server) answerAction(w http.ResponseWriter, r *http.Request) {
	if err := s.origins.Check(r); err != nil && !failpoint.On(failpoint.AdminAnyOrigin) {
		s.refuseAction(w, r, http.StatusForbidden, "the request comes from a page of another origin")
		return
	}
	if err := s.mayAct(r); err != nil {
		s.refuseAction(w, r, http.StatusForbidden, err.Error())
		return
	}
	request, err := readAction(w, r)
	if err != nil {
		w.Header().Set("Connection", "close")
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !slices.Contains(offeredActions, request.Action) {
		http.Error(w, fmt.Sprintf("action %.40q is not one of %s", request.Action, strings.Join(offeredActions, ", ")), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), controlTimeout)
	defer cancel()
	reply := s.control(ctx, controlRequest{Action: request.Action, Args: request.Args}, r.RemoteAddr)
	w.Header().Set("Content-Type", "application/json")
	if !reply.Done {
		w.WriteHeader(http.StatusConflict)
	}
	_ = json.NewEncoder(visible.NewJSONWriter(w)).Encode(ActionReply{reply.Done, reply.Text}) // an error of the connection is the client's
	_ = http.NewResponseController(w).Flush()                                                 // before a drain ends the connection
	reply.follow()
}

// refuseAction answers a request that must not act, and writes it to the audit log.
func (s *Server) refuseAction(w http.ResponseWriter, r *http.Request, status int, reason string) {
	s.audit.controlRefused(r.RemoteAddr, reason)
	w.Header().Set("Connection", "close") // the body is not read
	http.Error(w, reason, status)
}

// readAction reads the body of a request. A page of another origin cannot send this content type
// without asking first.
func readAction(w http.ResponseWriter, r *http.Request) (request ActionRequest, err error) {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return request, errors.New("the body of an action must be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxActionBody))
	if err != nil {
		return request, fmt.Errorf("the body of an action cannot be read: %w", err)
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return request, fmt.Errorf("the body of an action is not as it must be: %w", err)
	}
	if len(request.Args) > maxArgs {
		return request, fmt.Errorf("the action has %d arguments: at most %d are allowed", len(request.Args), maxArgs)
	}
	return request, nil
}

// executeAction executes an action of the admin port. follow is what must be done after the reply
// was sent; it may be nil.
func (s *Server) executeAction(request controlRequest) (text string, follow func(), err error) {
	var arg string
	if want := argOf[request.Action]; len(request.Args) != min(1, len(want)) {
		return "", nil, fmt.Errorf("%s has %d arguments: it must have %s", request.Action, len(request.Args), orNone(want))
	} else if want != "" {
		arg = request.Args[0]
	}
	switch request.Action {
	case ActionSingle:
		err = s.links.Load().LeaveOut(arg)
		text = fmt.Sprintf("acks do not wait for %s any more. They do again after 'count', or when it has been stopped, is back, and has caught up", arg)
	case ActionCount:
		text, err = s.countAgain(arg)
	case ActionDisconnect:
		text, err = s.disconnect(arg)
	case ActionLogLevel:
		text, err = s.setLogLevel(arg)
	case ActionDrain:
		text = fmt.Sprintf("the instance stops: it waits up to %v for outstanding acks", time.Duration(s.cfg.DrainTimeout))
		follow = s.beginDrain
	}
	return text, follow, err
}

// argOf names the argument of each action, empty if it has none.
var argOf = map[string]string{
	ActionSingle: "the name of a peer", ActionCount: "the name of a peer", ActionDisconnect: "the name of a client",
	ActionLogLevel: "a level", ActionDrain: "",
}

func orNone(want string) string {
	if want == "" {
		return "none"
	}
	return "one, " + want
}

func (s *Server) countAgain(peer string) (string, error) {
	counts, err := s.links.Load().CountAgain(peer)
	switch {
	case err != nil:
		return "", err
	case !counts:
		return fmt.Sprintf("acks wait for %s once it is connected and has caught up", peer), nil
	}
	return fmt.Sprintf("acks wait for %s", peer), nil
}

// disconnect ends the session of a client.
func (s *Server) disconnect(client string) (string, error) {
	for _, c := range s.instance.Registry.Sessions() {
		if info, ok := c.Info(); ok && info.ClientName == client {
			c.Abort("an operator has disconnected the client")
			c.Driver().(*session).conn.Close()
			return fmt.Sprintf("client %q is disconnected; it may log on again", client), nil
		}
	}
	return "", fmt.Errorf("no session of client %q is logged on here", client)
}

// setLogLevel sets the lowest level that is logged.
func (s *Server) setLogLevel(name string) (string, error) {
	level, known := logLevels[name]
	if !known {
		return "", fmt.Errorf("level %.40q is not one of debug, info, warn, error", name)
	}
	s.SetLogLevel(level)
	return "the log has lines of level " + name + " and above", nil
}

// beginDrain begins the stop of Shutdown, and does not wait for it. The owner of the server sees
// Done.
func (s *Server) beginDrain() {
	s.beginStop(stopDrain, nil)
	time.AfterFunc(time.Duration(s.cfg.DrainTimeout), s.endDrain)
}
