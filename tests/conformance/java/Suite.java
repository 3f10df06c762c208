import java.security.Security;
import java.util.function.Consumer;

import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework;
import org.igniterealtime.smack.inttest.XmppConnectionDescriptor;
import org.igniterealtime.smack.inttest.XmppConnectionManager;
import org.jivesoftware.smack.ConnectionConfiguration;
import org.jivesoftware.smack.c2s.ModularXmppClientToServerConnection;
import org.jivesoftware.smack.c2s.ModularXmppClientToServerConnectionConfiguration;
import org.jivesoftware.smack.compression.CompressionModuleDescriptor;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smack.tcp.XMPPTCPConnectionConfiguration;
import org.jivesoftware.smackx.omemo.signal.SignalOmemoService;

/** The suite against the port in the property "port": the framework has a property for the host, and none for the port. */
public class Suite {
    public static void main(String[] args) throws Exception {
        // The tests of OMEMO need a service and its ciphers, and leave it to others to choose them.
        Security.addProvider(new BouncyCastleProvider());
        SignalOmemoService.acknowledgeLicense();
        SignalOmemoService.setup();
        final int port = Integer.getInteger("port", 5222);
        // Some tests are of clients that have sent no presence, and look whether the connections were told to send any.
        final boolean sendPresence = !Boolean.getBoolean("withoutPresence");
        final Consumer<ConnectionConfiguration.Builder<?, ?>> setPort = builder -> {
            builder.setPort(port);
            builder.setSendPresence(sendPresence);
        };
        // The framework takes a descriptor of its own for "tcp" unless defaultConnection and enabledConnections name it.
        XmppConnectionManager.addConnectionDescriptor(
            XmppConnectionDescriptor.buildWith(XMPPTCPConnection.class, XMPPTCPConnectionConfiguration.class,
                                               XMPPTCPConnectionConfiguration.Builder.class)
                .withNickname("tcp").applyExtraConfiguration(setPort::accept).build());
        // These look for the WebSocket in https://DOMAIN/.well-known/host-meta, which has no port.
        XmppConnectionManager.removeConnectionDescriptor("modular-websocket-okhttp");
        XmppConnectionManager.removeConnectionDescriptor("modular-websocket-java11");
        XmppConnectionManager.addConnectionDescriptor(
            XmppConnectionDescriptor.buildWith(ModularXmppClientToServerConnection.class,
                                               ModularXmppClientToServerConnectionConfiguration.class,
                                               ModularXmppClientToServerConnectionConfiguration.Builder.class)
                .withNickname("modular").applyExtraConfiguration(setPort::accept).build());
        XmppConnectionManager.addConnectionDescriptor(
            XmppConnectionDescriptor.buildWith(ModularXmppClientToServerConnection.class,
                                               ModularXmppClientToServerConnectionConfiguration.class,
                                               ModularXmppClientToServerConnectionConfiguration.Builder.class)
                .withNickname("modular-nocompress").applyExtraConfiguration(builder -> {
                    setPort.accept(builder);
                    builder.removeModule(CompressionModuleDescriptor.class);
                }).build());
        SmackIntegrationTestFramework.main(args);
    }
}
