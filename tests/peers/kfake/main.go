// Runs kfake, franz-go's strict in-memory Kafka, for as long as standard input is open.
//
//	kfake BROKERS [NAME=VALUE ...]
//
// Further arguments are broker settings. Prints `ready HOST:PORT,...`, then takes commands, one per line, and
// answers each with `ok ...` or `error ...`:
//
//	create TOPIC PARTITIONS [NAME=VALUE ...]
//	fault CODE COUNT [KEY]   the next COUNT requests with api key KEY (0, Produce) fail with this error code
//	hits                     how many requests the faults failed so far
//	poison CODE NAMED TEXT   a batch that holds TEXT (uncompressed) fails with this code from now on and is not
//	                         appended; with NAMED 1 the answer names its first record with TEXT
//	limit BYTES              a batch of more bytes fails with MESSAGE_TOO_LARGE from now on
//	move TOPIC PARTITION NODE
//	leader TOPIC PARTITION
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type peer struct {
	cluster *kfake.Cluster
	faults  []*kfake.FaultHandle
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func pairs(arguments []string) map[string]string {
	settings := make(map[string]string)
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		settings[name] = value
	}
	return settings
}

// refuse has every batch judged before kfake sees it: an error code, and the record at fault or -1.
func (p *peer) refuse(judge func(batch []byte) (int16, int32)) {
	p.cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		p.cluster.KeepControl()
		produce := request.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		refused := false
		for _, topic := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition, one.BaseOffset = partition.Partition, -1
				var record int32
				one.ErrorCode, record = judge(partition.Records)
				if record >= 0 {
					named := kmsg.NewProduceResponseTopicPartitionErrorRecord()
					named.RelativeOffset = record
					one.ErrorRecords = append(one.ErrorRecords, named)
				}
				refused = refused || one.ErrorCode != 0
				answer.Partitions = append(answer.Partitions, one)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, refused
	})
}

// recordAt is the index of the record of an uncompressed batch that holds the byte at this place.
func recordAt(batch []byte, place int) int32 {
	const header = 61
	at := header
	for index := int32(0); at < len(batch); index++ {
		length, width := binary.Varint(batch[at:])
		at += width + int(length)
		if place < at {
			return index
		}
	}
	return -1
}

func (p *peer) obey(command string, arguments []string) (answer string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	switch command {
	case "create":
		partitions := int32(number(arguments[1]))
		return "", p.cluster.CreateTopic(arguments[0], partitions, pairs(arguments[2:]))
	case "fault":
		var fault *kerr.Error
		if !errors.As(kerr.ErrorForCode(int16(number(arguments[0]))), &fault) {
			return "", fmt.Errorf("%s is no error code", arguments[0])
		}
		key := kmsg.Produce
		if len(arguments) > 2 {
			key = kmsg.Key(number(arguments[2]))
		}
		p.faults = append(p.faults, p.cluster.Fault(kfake.Fault{
			Keys:     []kmsg.Key{key},
			TopLevel: key == kmsg.InitProducerID,
			Err:      fault,
			Count:    number(arguments[1]),
		}))
		return "", nil
	case "poison":
		code, named, text := int16(number(arguments[0])), arguments[1] == "1", []byte(arguments[2])
		p.refuse(func(batch []byte) (int16, int32) {
			at := bytes.Index(batch, text)
			if at < 0 {
				return 0, -1
			}
			if !named {
				return code, -1
			}
			return code, recordAt(batch, at)
		})
		return "", nil
	case "limit":
		limit := number(arguments[0])
		p.refuse(func(batch []byte) (int16, int32) {
			if len(batch) > limit {
				return kerr.MessageTooLarge.Code, -1
			}
			return 0, -1
		})
		return "", nil
	case "hits":
		hits := 0
		for _, fault := range p.faults {
			hits += fault.Hits()
		}
		return strconv.Itoa(hits), nil
	case "move":
		return "", p.cluster.MoveTopicPartition(
			arguments[0], int32(number(arguments[1])), int32(number(arguments[2])))
	case "leader":
		return strconv.Itoa(int(p.cluster.LeaderFor(arguments[0], int32(number(arguments[1]))))), nil
	}
	return "", fmt.Errorf("unknown command %s", command)
}

func main() {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(number(os.Args[1])),
		kfake.DefaultNumPartitions(4),
		kfake.AllowAutoTopicCreation(),
		kfake.BrokerConfigs(pairs(os.Args[2:])),
	)
	if err != nil {
		panic(err)
	}
	defer cluster.Close()
	fmt.Println("ready", strings.Join(cluster.ListenAddrs(), ","))
	p := peer{cluster: cluster}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		answer, err := p.obey(words[0], words[1:])
		if err != nil {
			fmt.Println("error", strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println(strings.TrimSpace("ok " + answer))
		}
	}
}
