package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
)

// Limits of an answer in bytes, and of the sessions and publishers of an instance.
const (
	maxAnswer         = 64 << 20
	maxSessionsRead   = 100 * server.MaxSessionsPerPage
	maxPublishersRead = 10 * server.MaxPublishersPerPage
)

// An adminClient sends requests to admin endpoints.
type adminClient struct {
	timeout   time.Duration
	http      http.Client
	tokenFile string // empty: no token
}

// newAdminClient returns a client that waits for each instance for timeout in all. cfg is for https
// addresses; with nil the authorities are the system's. The client ignores the proxy settings of the
// environment: the instances are on nearby hosts.
func newAdminClient(timeout time.Duration, cfg *tls.Config) *adminClient {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &adminClient{timeout: timeout, http: http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: cfg},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// token reads the token anew. It is empty if there is no file for it.
func (c *adminClient) token() (string, error) {
	if c.tokenFile == "" {
		return "", nil
	}
	token, err := readSecret(client.TokenFile, c.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--admin-token-file: %w", err)
	}
	return token, nil
}

// A publisherList is the list of publishers of an instance.
type publisherList struct {
	publishers []server.PublisherStatus // ordered by id
	truncated  bool                     // the instance has more
	err        error                    // the list could not be read
}

// wanted says what to ask for besides the status.
type wanted struct{ publishers, degraded bool }

// fetch asks one instance for its status and for what is wanted.
func (c *adminClient) fetch(ctx context.Context, address adminAddress, w wanted) (r instanceReport, list publisherList) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r = instanceReport{Address: string(address)}
	status, err := c.status(ctx, address)
	if err == nil && w.degraded && status.DegradedTotal > len(status.Degraded) {
		err = c.allDegraded(ctx, address, &status)
	}
	if err != nil {
		r.Error = c.explain(address, err)
		return r, list
	}
	r.Status = &status
	for publishers := w.publishers; publishers; {
		var page server.PublisherList
		if list.err = c.get(ctx, address, fmt.Sprintf("/publishers?after=%d", list.lastID()), &page); list.err != nil {
			return r, list
		}
		list.publishers = append(list.publishers, page.Publishers...)
		list.truncated = page.More
		publishers = page.More && len(page.Publishers) > 0 && len(list.publishers) < maxPublishersRead
	}
	return r, list
}

// status asks one instance for its status, with all sessions up to a limit.
func (c *adminClient) status(ctx context.Context, address adminAddress) (status server.Status, err error) {
	for path := "/status"; ; {
		var page server.Status
		if err := c.get(ctx, address, path, &page); err != nil {
			return status, err
		}
		if page.Name == "" {
			return status, errNotAdmin
		}
		page.Sessions = append(status.Sessions, page.Sessions...)
		status = page
		if n := len(page.Sessions); !page.SessionsMore || n == 0 || n > maxSessionsRead {
			return status, nil
		}
		path = "/status?after=" + url.QueryEscape(page.Sessions[len(page.Sessions)-1].Name)
	}
}

// allDegraded asks for all degraded intervals of an instance.
func (c *adminClient) allDegraded(ctx context.Context, address adminAddress, status *server.Status) error {
	status.Degraded = nil
	for after, more := "", true; more; {
		var page struct {
			Degraded []server.DegradedInterval
			More     bool
			Next     string
		}
		if err := c.get(ctx, address, "/status?list=degraded&after="+url.QueryEscape(after), &page); err != nil {
			return err
		}
		for _, d := range page.Degraded { // newest first
			status.Degraded = slices.Insert(status.Degraded, 0, d)
		}
		after, more = page.Next, page.More && len(page.Degraded) > 0
	}
	return nil
}

// lastID returns the highest id in the list, 0 if it is empty.
func (l *publisherList) lastID() uint64 {
	if len(l.publishers) == 0 {
		return 0
	}
	return l.publishers[len(l.publishers)-1].Publisher
}

// errNotAdmin says that an address is not the admin endpoint of an instance.
var errNotAdmin = errors.New("not an admin endpoint")

// errToken says that an instance wants another token.
var errToken = errors.New("it wants a token")

// request returns a request for one path, with the token if there is one.
func (c *adminClient) request(ctx context.Context, address adminAddress, path string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.url(path), nil)
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// checkAnswer returns an error if the status of an answer is not that of an instance.
func checkAnswer(response *http.Response, path string) error {
	switch response.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return errToken
	}
	return fmt.Errorf("%w: it answers %s to %s", errNotAdmin, response.Status, path)
}

// get requests one path and decodes the JSON of the answer.
func (c *adminClient) get(ctx context.Context, address adminAddress, path string, into any) error {
	request, err := c.request(ctx, address, path)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := checkAnswer(response, path); err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(body) > maxAnswer:
		return fmt.Errorf("the answer to %s is larger than %d MiB", path, maxAnswer>>20)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: its answer to %s is not that of an instance", errNotAdmin, path)
	}
	return nil
}

// explain returns the reason why an instance could not be asked, with advice for the user.
func (c *adminClient) explain(address adminAddress, err error) string {
	if reason := explainAccess(address, err); reason != "" {
		return reason
	}
	_, port, _ := net.SplitHostPort(address.hostPort())
	var timeout interface{ Timeout() bool }
	_, lookup := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the instance, or use the 'admin.listen' of its configuration"
	case lookup:
		return fmt.Sprintf("%v: correct the host name, or use the IP address", innermostError(err))
	case errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return "interrupted"
	case errors.Is(err, errNotAdmin):
		return fmt.Sprintf("%v: use the port of 'admin.listen' in an instance's configuration", err)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no answer within %v: its process is stopped or its machine is unreachable; raise --timeout to wait longer", c.timeout)
	case notHTTP(err):
		return fmt.Sprintf("the listener there does not speak HTTP: %s looks like a port for clients or peers ('clients.listen', 'replication.listen'), but status needs that of 'admin.listen'", port)
	}
	return innermostError(err).Error()
}

// explainAccess returns the reason if it is about TLS or the token, otherwise "".
func explainAccess(address adminAddress, err error) string {
	advice := tlsAdvice(err)
	switch {
	case errors.Is(err, errToken):
		return "the instance wants a token, or another one: name the file with the token of its 'admin' as --admin-token-file"
	case advice != "":
		return fmt.Sprintf("%v: %s", errors.Unwrap(err), advice)
	case strings.Contains(err.Error(), http.ErrSchemeMismatch.Error()):
		return "the listener there has no TLS: write http://" + address.hostPort()
	case errors.Is(err, errNotAdmin) && strings.Contains(err.Error(), "400 Bad Request") && !address.isHTTPS():
		return fmt.Sprintf("%v: if it has TLS, write %s%s", err, https, address.hostPort())
	}
	return ""
}

// notHTTP reports whether the other side does not speak HTTP: it closed the connection
// without an answer, or sent something else.
func notHTTP(err error) bool {
	return closedAtOnce(err) || strings.Contains(err.Error(), "malformed HTTP")
}

// closedAtOnce reports whether the other side closed the connection before an answer
// was complete.
func closedAtOnce(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// innermostError returns the innermost error that still names the operation and the address.
func innermostError(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns
	}
	return err
}
