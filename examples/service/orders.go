package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const (
	ordersTopic = "orders"
	failedTopic = "orders.failed" // orders whose work failed for good

	maxBody = 64 << 10
	// ackTimeout is how long a request waits for the servers. Whatever its outcome, the
	// order is in the store and will be delivered.
	ackTimeout = 2 * time.Second
)

// routes returns the service's handler.
func routes(c *client.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) { takeOrder(c, w, r) })
	// The process works: restart it if this does not answer.
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {})
	// The service can take orders: send it none while this fails. It takes them, and keeps
	// them, also while no server answers.
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := c.Err(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		stats := c.Stats()
		fmt.Fprintf(w, "%v, %d orders kept\n", stats.State, stats.Publish.Outstanding.Messages)
	})
	return mux
}

// takeOrder publishes an order. 201: the servers have it on disk. 202: it is on the disk of
// this service only, and goes to the servers as soon as one answers.
func takeOrder(c *client.Client, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if !json.Valid(body) {
		http.Error(w, "an order is a JSON value", http.StatusBadRequest)
		return
	}
	ticket, err := c.PublishTicket(r.Context(), ordersTopic, body)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err)) // it is not in the store
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), ackTimeout)
	defer cancel()
	err = ticket.AwaitSettled(ctx)
	rejection, isRejected := errors.AsType[*client.RejectedError](err)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusCreated)
	case isRejected:
		http.Error(w, rejection.Reason, http.StatusUnprocessableEntity)
		return
	default:
		w.WriteHeader(http.StatusAccepted)
	}
	fmt.Fprintf(w, "%d|%d\n", ticket.Publisher(), ticket.Sequence())
}

// statusOf returns the HTTP status for an order that could not be stored.
func statusOf(err error) int {
	if _, tooLarge := errors.AsType[*client.TooLargeError](err); tooLarge {
		return http.StatusRequestEntityTooLarge
	}
	if errors.Is(err, pubstore.ErrFull) || errors.Is(err, client.ErrClosed) {
		return http.StatusServiceUnavailable // try another instance, or later
	}
	return http.StatusInternalServerError
}

// consume works on orders until the client is drained. An order is done when work returns
// nil: then it does not come again. Work that fails is tried again while all later orders
// wait. After the fifth time the order goes to the topic orders.failed.
func consume(c *client.Client, work func(context.Context, []byte) error) error {
	sub, err := c.Subscribe(context.Background(), "^orders$", client.ID("work"),
		client.From(client.MostRecent),
		client.Retry(client.RetryPolicy{Delay: time.Second, MaxTries: 5, GiveUp: func(m *client.Message, err error) error {
			slog.Error("order moved to the failed topic", "bookmark", m.Bookmark.String(), "error", err)
			_, err = c.Publish(context.Background(), failedTopic, m.Body)
			return err
		}}))
	if err != nil {
		return err
	}
	return sub.Handle(context.Background(), func(m *client.Message) error {
		return work(context.Background(), m.Body)
	})
}

// ship is the work on an order. It may be done twice for one order: if the process dies
// between the work and the discard, the order comes again. Make it idempotent, or do both
// in one transaction (examples/transaction).
func ship(_ context.Context, order []byte) error {
	slog.Info("shipped", "order", string(order))
	return nil
}
