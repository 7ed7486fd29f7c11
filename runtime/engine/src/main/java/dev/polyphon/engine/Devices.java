package dev.polyphon.engine;

import dev.polyphon.engine.backend.DeviceMemoryException;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.backend.cuda.CudaException;
import dev.polyphon.engine.backend.cuda.CudaKernels;
import dev.polyphon.engine.backend.cuda.Precision;
import java.io.IOException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Chooses what an engine computes on. One engine has one device; who wants several opens an engine for each. */
public final class Devices {
    private static final Logger LOG = LoggerFactory.getLogger(Devices.class);
    private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,4}))?(?::(f32|bf16))?");

    private Devices() {}

    /**
     * Opens a device.
     *
     * @param device {@code cpu}; {@code cpu:vector} for the CPU without machine code written at run time; {@code cuda} or {@code cuda:N} for an NVIDIA
     *     GPU, with {@code :f32} behind it for products in f32; {@code auto} for the first GPU when one opens and the CPU otherwise
     * @param threads computing threads of the CPU; 0 for one per processor
     * @throws IOException when the GPU that was named does not open; the message says why
     */
    public static Kernels open(String device, int threads) throws IOException {
        if (CUDA.matcher(device).matches()) {
            return cuda(device, 0);
        }
        if (device.equals("auto")) {
            try {
                return CudaKernels.open(0, 0, Precision.BF16);
            } catch (CudaException | DeviceMemoryException e) {
                LOG.info("computing on the CPU, since no GPU opens");
                LOG.debug("no GPU: {}", e.getMessage());
            }
        } else if (!device.equals("cpu") && !device.equals("cpu:vector")) {
            throw new IllegalArgumentException("device must be auto, cpu, cpu:vector, cuda or cuda:N (and :f32 or :bf16), found " + device);
        }
        return CpuKernels.open(threads > 0 ? threads : Runtime.getRuntime().availableProcessors(), !device.equals("cpu:vector"));
    }

    /**
     * Opens an NVIDIA GPU.
     *
     * @param device as above
     * @param memory bytes of its memory to take; 0 for nine tenths of what is free
     * @throws IOException when it does not open; the message says why
     */
    public static Kernels cuda(String device, long memory) throws IOException {
        Matcher cuda = CUDA.matcher(device);
        if (!cuda.matches()) {
            throw new IllegalArgumentException("a GPU is cuda or cuda:N (and :f32 or :bf16), found " + device);
        }
        try {
            return CudaKernels.open(cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1)), memory, "f32".equals(cuda.group(2)) ? Precision.F32 : Precision.BF16);
        } catch (CudaException | DeviceMemoryException e) {
            throw new IOException("device " + device + " does not open: " + e.getMessage(), e);
        }
    }
}
