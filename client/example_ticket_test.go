package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// An HTTP service answers each request with the outcome of its message, for many requests at a
// time: 201 once the message is settled, 422 if the servers reject it, and 202 if it is still on
// its way when the request has waited long enough. The 202 contains the numbers by which
// Client.Ticket finds the message later. The servers of this example log only the topic orders.
func ExampleClient_PublishTicket() {
	pair := newExamplePair(servertest.Config(func(c *server.Config) { c.Log.Topics = []string{"orders"} }))
	defer pair.end()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Name: "order-gateway", Servers: pair.servers, Dial: pair.Dial})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	serve := func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		t, err := c.PublishTicket(ctx, r.URL.Path[1:], []byte(r.FormValue("order")))
		if err != nil {
			http.Error(w, "not published", http.StatusServiceUnavailable) // the message is not in the store
			return
		}
		err = t.AwaitSettled(ctx)
		var rejected *client.RejectedError
		var pending *client.PendingError
		switch {
		case err == nil:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintln(w, "settled")
		case errors.Is(err, client.ErrOutcomeUnknown): // the message may be on a server all the same
			http.Error(w, "outcome unknown", http.StatusInternalServerError)
		case errors.As(err, &rejected):
			http.Error(w, rejected.Reason, http.StatusUnprocessableEntity)
		case errors.As(err, &pending):
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintln(w, t.Publisher(), t.Sequence())
		}
	}
	for _, path := range []string{"/orders", "/ordres"} {
		w := httptest.NewRecorder()
		serve(w, httptest.NewRequest("POST", path+"?order=bolts", nil))
		fmt.Println(path, w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// /orders 201 settled
	// /ordres 422 invalid topic
}
