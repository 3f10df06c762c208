import java.util.function.Consumer;

import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework;
import org.igniterealtime.smack.inttest.XmppConnectionDescriptor;
import org.igniterealtime.smack.inttest.XmppConnectionManager;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smack.tcp.XMPPTCPConnectionConfiguration;

/** The suite against the port in the property "port": the framework has a property for the host, and none for the port. */
public class Suite {
    public static void main(String[] args) throws Exception {
        final int port = Integer.getInteger("port", 5222);
        Consumer<XMPPTCPConnectionConfiguration.Builder> setPort = builder -> builder.setPort(port);
        // The framework takes a descriptor of its own for "tcp" unless defaultConnection and enabledConnections name it.
        XmppConnectionManager.addConnectionDescriptor(
            XmppConnectionDescriptor.buildWith(XMPPTCPConnection.class, XMPPTCPConnectionConfiguration.class,
                                               XMPPTCPConnectionConfiguration.Builder.class)
                .withNickname("tcp").applyExtraConfiguration(setPort).build());
        SmackIntegrationTestFramework.main(args);
    }
}
