//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// loadRabbit runs RabbitMQ's clients and answers with a sample.
func loadRabbit(spec []byte) error {
	var j rabbitJob
	return loadFlow(spec, &j, &j.job, j.connect)
}

// connect waits until all nodes are one cluster, and declares the queue at the first
// node, which leads it.
func (j *rabbitJob) connect(ctx context.Context) (flow, error) {
	ch, err := j.dial(j.Nodes[0])
	if err != nil {
		return flow{}, err
	}
	if err := j.awaitCluster(ctx, ch); err != nil {
		return flow{}, err
	}
	_, err = ch.QueueDeclare(subject, true, false, false, false, amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-quorum-initial-group-size": len(j.Nodes), "x-queue-leader-locator": "client-local",
	})
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		return flow{}, err
	}
	return flow{j.publisher(ch), j.reader}, nil
}

// dial returns a channel with its own connection, which lasts until the process ends.
func (j *rabbitJob) dial(node string) (*amqp.Channel, error) {
	conn, err := amqp.Dial("amqp://guest:guest@" + node)
	if err != nil {
		return nil, err
	}
	return conn.Channel()
}

// awaitCluster waits until each node knows a queue of the first one.
func (j *rabbitJob) awaitCluster(ctx context.Context, first *amqp.Channel) error {
	const name = "whole"
	if _, err := first.QueueDeclare(name, true, false, false, false, nil); err != nil {
		return err
	}
	for _, node := range j.Nodes[1:] {
		for err := j.findQueue(node, name); err != nil; err = j.findQueue(node, name) {
			if pause(ctx, 10*time.Millisecond); ctx.Err() != nil {
				return fmt.Errorf("wait for %d nodes to be one cluster: %w", len(j.Nodes), errors.Join(ctx.Err(), err))
			}
		}
	}
	return nil
}

// findQueue returns an error if a node does not know a queue.
func (j *rabbitJob) findQueue(node, queue string) error {
	ch, err := j.dial(node)
	if err != nil {
		return err
	}
	_, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	return err
}

var (
	errNack   = errors.New("publish: the queue refused a message")
	errClosed = errors.New("the channel was closed")
)

// publisher keeps a window of messages in flight and waits for all their confirms.
func (j *rabbitJob) publisher(ch *amqp.Channel) func(context.Context, int) error {
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body(1, j.Size)}
	return func(ctx context.Context, n int) error {
		for i := range n {
			if i >= window {
				if err := awaitConfirm(ctx, confirms); err != nil {
					return err
				}
			}
			if err := ch.PublishWithContext(ctx, "", subject, false, false, message); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
		}
		for range min(n, window) {
			if err := awaitConfirm(ctx, confirms); err != nil {
				return err
			}
		}
		return nil
	}
}

// awaitConfirm waits for the confirm of one message.
func awaitConfirm(ctx context.Context, confirms <-chan amqp.Confirmation) error {
	select {
	case c, ok := <-confirms:
		switch {
		case !ok:
			return errClosed
		case !c.Ack:
			return errNack
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a confirm: %w", ctx.Err())
	}
}

// reader consumes the queue, which empties it, and acks four times per window.
func (j *rabbitJob) reader(ctx context.Context) (read func(n int) error, err error) {
	ch, err := j.dial(j.Nodes[0])
	if err != nil {
		return nil, err
	}
	if err := ch.Qos(window, 0, false); err != nil {
		return nil, err
	}
	return func(n int) error {
		deliveries, err := ch.ConsumeWithContext(ctx, subject, "", false, false, false, false, nil)
		if err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		for got := 1; got <= n; got++ {
			d, ok := <-deliveries
			if !ok {
				return errClosed
			}
			if got%(window/4) == 0 || got == n {
				if err := d.Ack(true); err != nil {
					return fmt.Errorf("ack: %w", err)
				}
			}
		}
		return nil
	}, nil
}
