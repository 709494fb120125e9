package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/holdfast-mq/holdfast/server"
)

// adminCommands are the commands under "admin".
type adminCommands struct {
	Single     adminSingle     `cmd:"" help:"Leave a peer out of acks now, before it is stopped. Acks wait for it again after 'admin count', or when it has been stopped, is back, and has caught up."`
	Count      adminCount      `cmd:"" help:"Let acks wait for a peer again, once it has caught up."`
	Drain      adminDrain      `cmd:"" help:"Stop an instance after its outstanding acks, like SIGTERM."`
	Disconnect adminDisconnect `cmd:"" help:"End the session of a client. It may log on again."`
	LogLevel   adminLogLevel   `cmd:"" name:"log-level" help:"Set the lowest level of the log, until the instance restarts or reads its configuration file again."`
}

// adminFlags are the arguments that the commands have in common.
type adminFlags struct {
	Admin          adminAddress `arg:"" help:"Admin address of the instance that acts, 'admin.listen' in its configuration: HOST:PORT, http://HOST:PORT, or https://HOST:PORT if it has TLS."`
	AdminTokenFile string       `env:"HOLDFAST_ADMIN_TOKEN_FILE" placeholder:"PATH" help:"File with the token that the instance asks for."`
	tlsFlags
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
	JSON    bool          `name:"json" help:"Print one JSON object: done and text."`
}

type adminSingle struct {
	adminFlags
	Peer string `arg:"" help:"Name of the peer."`
}

type adminCount struct {
	adminFlags
	Peer string `arg:"" help:"Name of the peer."`
}

type adminDrain struct{ adminFlags }

type adminDisconnect struct {
	adminFlags
	Client string `arg:"" help:"Name of the client."`
}

type adminLogLevel struct {
	adminFlags
	Level string `arg:"" enum:"debug,info,warn,error" help:"${enum}."`
}

// Run implements the command.
func (c *adminSingle) Run(o *output) error { return c.act(o, server.ActionSingle, c.Peer) }

// Run implements the command.
func (c *adminCount) Run(o *output) error { return c.act(o, server.ActionCount, c.Peer) }

// Run implements the command.
func (c *adminDrain) Run(o *output) error { return c.act(o, server.ActionDrain) }

// Run implements the command.
func (c *adminDisconnect) Run(o *output) error { return c.act(o, server.ActionDisconnect, c.Client) }

// Run implements the command.
func (c *adminLogLevel) Run(o *output) error { return c.act(o, server.ActionLogLevel, c.Level) }

// act has the instance do an action and prints its reply. It returns errFault if the instance has
// refused the action.
func (c *adminFlags) act(o *output, action string, args ...string) error {
	if c.Timeout <= 0 {
		return usageErrorf("--timeout is %v: it must be above 0", c.Timeout)
	}
	status := statusCommand{Admin: c.Admin, AdminTokenFile: c.AdminTokenFile, tlsFlags: c.tlsFlags, Timeout: c.Timeout}
	client, err := status.newClient(o)
	if err != nil {
		return err
	}
	ctx, end := interruptible()
	defer end(nil)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	reply, err := client.act(ctx, c.Admin, server.ActionRequest{Action: action, Args: args})
	switch {
	case errors.Is(err, errToken), errors.Is(err, errNotPermitted):
		return usageErrorf("%s: %s", c.Admin, client.explain(c.Admin, err))
	case err != nil:
		return fmt.Errorf("%s: %s", c.Admin, client.explain(c.Admin, err))
	}
	return o.report(c.JSON, reply.Done, reply, func() {
		if reply.Done {
			o.printf("%s: %s\n", c.Admin, reply.Text)
			return
		}
		fmt.Fprintf(o.err, "holdfast: %s: not done: %s\n", c.Admin, reply.Text)
	})
}

// errNotPermitted says that an instance permits no actions.
var errNotPermitted = errors.New("not permitted")

// maxReply is the largest reply to an action, in bytes.
const maxReply = 64 << 10

// act sends the request of an action to an instance.
func (c *adminClient) act(ctx context.Context, address adminAddress, action server.ActionRequest) (reply server.ActionReply, err error) {
	body, err := json.Marshal(action)
	if err != nil {
		return reply, err
	}
	request, err := c.request(ctx, address, "/actions")
	if err != nil {
		return reply, err
	}
	request.Method, request.Body, request.ContentLength = http.MethodPost, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return reply, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	switch {
	case err != nil:
		return reply, err
	case response.StatusCode == http.StatusUnauthorized:
		return reply, errToken
	case response.StatusCode == http.StatusForbidden:
		return reply, fmt.Errorf("%w: %s", errNotPermitted, bytes.TrimSpace(text))
	case response.StatusCode == http.StatusBadRequest:
		return reply, fmt.Errorf("the instance refuses the request: %s", bytes.TrimSpace(text))
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusConflict:
		return reply, fmt.Errorf("%w: it answers %s to /actions", errNotAdmin, response.Status)
	}
	if json.Unmarshal(text, &reply) != nil || reply.Text == "" {
		return reply, fmt.Errorf("%w: its answer to /actions is not that of an instance", errNotAdmin)
	}
	return reply, nil
}
