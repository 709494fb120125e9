//go:build !failpoint

package client

import "github.com/holdfast-mq/holdfast/pubstore"

func waitsPlanted(*conn) bool { return false }

func (c *Client) sendPlanted(*pubstore.Message) {}

func (c *Client) dropPlanted([]goal) {}
