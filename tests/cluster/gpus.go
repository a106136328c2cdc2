// The part `gpus`: a device plugin that tells the kubelet of devices which do not exist.
//
// As NVIDIA's own plugin does, it names the devices that a container was given in NVIDIA_VISIBLE_DEVICES; it offers them
// again whenever the kubelet has restarted.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// pause lies between two looks at the kubelet's socket.
const pause = 200 * time.Millisecond

func newGPUsCommand() *cobra.Command {
	return &cobra.Command{
		Use:          "gpus RESOURCE=COUNT...",
		SilenceUsage: true,
		RunE: func(_ *cobra.Command, args []string) error {
			failed := make(chan error)
			for _, arg := range args {
				resource, number, _ := strings.Cut(arg, "=")
				count, err := strconv.Atoi(number)
				if err != nil || count < 0 {
					return fmt.Errorf("%q is not RESOURCE=COUNT", arg)
				}
				go func() { failed <- offer(resource, count) }()
			}
			return <-failed
		},
	}
}

// devices serves one resource's devices.
type devices struct {
	plugin.UnimplementedDevicePluginServer
	list []*plugin.Device
}

// offer serves and registers count devices, again after each restart of the kubelet; it returns only with an error.
func offer(resource string, count int) error {
	kind := strings.ToUpper(strings.SplitN(filepath.Base(resource), "-", 2)[0])
	server := &devices{}
	for number := range count {
		id := fmt.Sprintf("%s-%08d", kind, number)
		server.list = append(server.list, &plugin.Device{ID: id, Health: plugin.Healthy})
	}
	socket := filepath.Join(plugin.DevicePluginPath, strings.ReplaceAll(resource, "/", "-")+".sock")
	for {
		kubelet, err := os.Stat(plugin.KubeletSocket)
		if err != nil {
			time.Sleep(pause)
			continue
		}
		if err := server.serveFor(kubelet, socket, resource); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", resource, err)
			time.Sleep(pause)
		}
	}
}

// serveFor serves until the kubelet has another socket or has removed ours, as it does when it starts.
func (d *devices) serveFor(kubelet os.FileInfo, socket, resource string) error {
	if err := os.RemoveAll(socket); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	defer server.Stop()
	plugin.RegisterDevicePluginServer(server, d)
	go func() { _ = server.Serve(listener) }()
	if err := register(filepath.Base(socket), resource); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d registered\n", resource, len(d.list))
	for {
		time.Sleep(pause)
		now, err := os.Stat(plugin.KubeletSocket)
		if err != nil || !os.SameFile(kubelet, now) || !now.ModTime().Equal(kubelet.ModTime()) {
			return nil
		}
		if _, err := os.Stat(socket); err != nil {
			return nil
		}
	}
}

func register(endpoint, resource string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	connection, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	request := &plugin.RegisterRequest{Version: plugin.Version, Endpoint: endpoint, ResourceName: resource}
	_, err = plugin.NewRegistrationClient(connection).Register(ctx, request)
	return err
}

func (d *devices) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func (d *devices) ListAndWatch(_ *plugin.Empty, stream plugin.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&plugin.ListAndWatchResponse{Devices: d.list}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (d *devices) Allocate(_ context.Context, request *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	response := &plugin.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &plugin.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return response, nil
}
