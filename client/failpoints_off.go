//go:build !failpoint

package client

import "github.com/holdfast-mq/holdfast/pubstore"

func plantedWait(*conn) bool { return false }

func (c *Client) plantedSend(*pubstore.Message) {}

func (c *Client) plantedDrop([]goal) {}
